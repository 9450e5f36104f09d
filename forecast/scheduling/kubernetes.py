"""A job as a CronJob of Kubernetes: the container of our Dockerfile, without root and rights.

The folder of the configuration is the volume; what a job reads and writes has to lie in it.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path

from forecast.common.errors import UsageError
from forecast.common.files import text_kind
from forecast.scheduling.timers import (
    Start,
    own_fields,
    refuse_line_ends,
    unit_stem,
    zone_of_machine,
)

MANIFEST = text_kind("a manifest", rb"# lstmcast-[^\n]*\napiVersion: batch/v1\n")
_MOUNT = "/data"
_LONGEST = 52  # signs of a CronJob's name; those of its pods are longer
_USER = 10001  # of the image
_OF_HERE = ("CUDA_VISIBLE_DEVICES", "SSL_CERT_FILE")  # mean nothing on another machine

_TEXT = """\
# {file}: {words}; the folder of the configuration, on the volume {claim}
apiVersion: batch/v1
kind: CronJob
metadata:
  name: {name}
  labels: {{app.kubernetes.io/name: lstmcast}}
spec:
  schedule: {schedule}
  timeZone: {zone}
  # A run that is late by hours still forecasts; one at a time.
  startingDeadlineSeconds: 3600
  concurrencyPolicy: Forbid
  successfulJobsHistoryLimit: 3
  failedJobsHistoryLimit: 5
  jobTemplate:
    spec:
      # The next run goes on where this one was stopped; on the same data it would fail again.
      backoffLimit: 0
{limit}      template:
        metadata:
          labels: {{app.kubernetes.io/name: lstmcast}}
        spec:
          restartPolicy: Never
          automountServiceAccountToken: false
          # Time to keep the training's state after a stop.
          terminationGracePeriodSeconds: 120
          securityContext:
            runAsNonRoot: true
            runAsUser: {user}
            runAsGroup: {user}
            fsGroup: {user}
            seccompProfile: {{type: RuntimeDefault}}
          containers:
            - name: lstmcast
              image: {image}
              # 3: done in part. The forecast is published; some series come from a simpler one.
              command:
                - /bin/sh
                - -c
                - 'lstmcast "$@"; code=$?; [ "$code" -eq 3 ] && exit 0; exit "$code"'
                - lstmcast
              args: {args}
              workingDir: {mount}
              env:
{environment}              resources:
                requests: {{cpu: "1", memory: 2Gi}}
                limits: {{memory: 4Gi}}
              securityContext:
                allowPrivilegeEscalation: false
                readOnlyRootFilesystem: true
                capabilities: {{drop: [ALL]}}
              volumeMounts:
                - {{name: data, mountPath: {mount}}}
                - {{name: scratch, mountPath: /tmp}}
          volumes:
            - name: data
              persistentVolumeClaim: {{claimName: {claim}}}
            - name: scratch
              emptyDir: {{}}
"""


def cron_job(start: Start, image: str, environ: Mapping[str, str]) -> dict[str, str]:
    """File name -> text of the job's manifest.

    environ: of the person who schedules it, asked for the machine's time zone where the job names
    none: a cluster has its own. Raises UsageError for a control character, and for a job that
    reads or writes outside the folder of its configuration.
    """
    refuse_line_ends(*start.words, *start.environment.values(), str(start.config), image)
    base = start.config.parent
    places = (*start.reads, *start.writes)
    outside = [place for place in places if not place.is_relative_to(base)]
    if outside:
        raise UsageError(
            "the job reads or writes outside the folder of its configuration, all that a pod has",
            code="schedule/outside",
            where=f"{start.config}, jobs.{start.job}",
            value=", ".join(map(str, outside)),
            remedy="Let data, folder, metrics_file and a database file lie beside it",
        )
    name = pod_name(start.job)
    config = str(Path(_MOUNT) / start.config.name)
    args = ["run", config, "--job", start.job, "--quiet", "--log-format", "json"]
    file = f"{name}.yaml"
    return {
        file: _TEXT.format(
            file=file,
            words=start.when.words(),
            name=name,
            claim="lstmcast",
            schedule=json.dumps(own_fields(start.when)),
            zone=json.dumps(start.when.zone or zone_of_machine(environ)),
            limit=_limit(start.limit),
            user=_USER,
            image=json.dumps(image),
            args=json.dumps(args),
            mount=_MOUNT,
            environment="".join(_environment(start, name)),
        )
    }


def pod_name(job: str) -> str:
    """A name that Kubernetes takes: the job's, and a digest where that had to be changed."""
    stem = unit_stem(job)
    safe = re.sub(r"[^a-z0-9-]+", "-", stem.lower()).strip("-")
    if safe == stem and len(safe) <= _LONGEST:
        return safe
    return f"{safe[: _LONGEST - 9].strip('-')}-{hashlib.sha256(job.encode()).hexdigest()[:8]}"


def _limit(seconds: float | None) -> str:
    return "" if seconds is None else f"      activeDeadlineSeconds: {seconds:.0f}\n"


def _environment(start: Start, name: str) -> list[str]:
    """Settings as they are; secrets from a Secret of the job's name, by their variable's."""
    # Only /data and /tmp can be written; what a run keeps beside its folder goes to the latter.
    known = {"HOME": "/tmp"} | {k: v for k, v in start.environment.items() if k not in _OF_HERE}
    dash = " " * 16 + "- "
    lines = [
        f"{dash}{{name: {json.dumps(key)}, value: {json.dumps(value)}}}\n"
        for key, value in known.items()
    ]
    for secret in start.secrets:
        source = f"{{name: {name}, key: {json.dumps(secret)}}}"
        origin = f"valueFrom: {{secretKeyRef: {source}}}"
        lines.append(f"{dash}{{name: {json.dumps(secret)}, {origin}}}\n")
    return lines
