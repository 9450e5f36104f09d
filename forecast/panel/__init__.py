"""From a table to a `Panel`: many regular series of one frequency, and a report of how."""

from forecast.panel.data import Panel, panel_to_arrow
from forecast.panel.load import load_panel, load_several, panel_from_frame
from forecast.panel.report import LoadReport

__all__ = [
    "LoadReport",
    "Panel",
    "load_panel",
    "load_several",
    "panel_from_frame",
    "panel_to_arrow",
]
