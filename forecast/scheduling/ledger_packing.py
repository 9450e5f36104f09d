"""Arrays as small blobs, without loss: like bytes beside each other, then zlib.

Forecasts of neighbouring quantiles differ in their low bytes alone; written as differences along
the quantiles and by planes of equal significance they take half the room of the plain numbers.
Axes: S series, H horizon (steps), Q quantiles.
"""

from __future__ import annotations

import zlib

import numpy as np

LEVEL = 6  # of zlib: a third of the time of 9 for 2 % more room


def pack(array: np.ndarray) -> bytes:
    """The values of an array of any fixed-size type; its shape and type are not kept."""
    plain = np.ascontiguousarray(array)
    little = plain.astype(plain.dtype.newbyteorder("<"), copy=False)
    planes = little.view(np.uint8).reshape(-1, plain.dtype.itemsize).T
    return zlib.compress(np.ascontiguousarray(planes).tobytes(), LEVEL)


def unpack(blob: bytes, dtype: str, shape: tuple[int, ...]) -> np.ndarray:
    """What `pack` was given: type (little-endian, as "<f8") and shape as they were."""
    size = np.dtype(dtype).itemsize
    planes = np.frombuffer(zlib.decompress(blob), np.uint8).reshape(size, -1)
    return np.ascontiguousarray(planes.T).view(dtype).reshape(shape)


def pack_quantiles(quantiles: np.ndarray) -> bytes:
    """Quantiles (S, H, Q) as float32, to the bit."""
    bits = np.ascontiguousarray(quantiles, "<f4").view("<u4")
    return pack(np.diff(bits, axis=2, prepend=np.uint32(0)))


def unpack_quantiles(blob: bytes, shape: tuple[int, int, int]) -> np.ndarray:
    """The float32 of `pack_quantiles`; shape: (S, H, Q)."""
    return np.cumsum(unpack(blob, "<u4", shape), axis=2, dtype=np.uint32).view(np.float32)


def pack_point(point: np.ndarray, quantiles: np.ndarray) -> bytes:
    """Points (S, H) as float64, to the bit: what they have beyond the median of `quantiles`
    (S, H, Q), which they mostly are but for its precision."""
    return pack(point.astype("<f8").view("<u8") ^ _median_bits(quantiles))


def unpack_point(blob: bytes, quantiles: np.ndarray) -> np.ndarray:
    """The float64 (S, H) of `pack_point`, with the same quantiles."""
    return (unpack(blob, "<u8", quantiles.shape[:2]) ^ _median_bits(quantiles)).view(np.float64)


def _median_bits(quantiles: np.ndarray) -> np.ndarray:
    median = quantiles[:, :, quantiles.shape[2] // 2]
    return median.astype("<f4").astype("<f8").view("<u8")
