"""The examples in each command's help: what is done, and the command line that does it.

They follow one another: the run and the jobs that the first ones make are what later ones name. A
test runs all of them, in this order, beside a copy of sample_data/.
"""
# ruff: noqa: E501 (a command stands on one line, as it is typed)

from __future__ import annotations

AIR, STORES = "sample_data/airline_passengers.csv", "sample_data/hourly_stores.csv"
AHEAD = "sample_data/hourly_stores_future.csv"

Example = tuple[str, str]

EXAMPLES: dict[str, tuple[Example, ...]] = {
    "check": (
        ("What is in the file, and what would train do with it?", f"check {AIR}"),
        ("Several columns hold numbers: name the one to forecast", f"check {STORES} --target-col sales"),
        ("The same for a program", f"check {AIR} --json"),
    ),
    "train": (
        ("Train, compare with ARIMA, forecast the next year", f"train {AIR} --horizon 12 --out runs/air"),
        (
            "Eight shops by the hour, with what is known of the coming day",
            f"train {STORES} --target-col sales --future-covariates {AHEAD} --horizon 24",
        ),
        ("Quickly, to see whether all is right", f"train {AIR} --config fast"),
        ("Every setting, its value and where it came from", f"train {AIR} --show-config"),
    ),
    "forecast": (
        ("The next steps of a file, on the screen", f"forecast {AIR}"),
        ("Two years ahead, into a file", f"forecast {AIR} --horizon 24 --output next.csv"),
        ("Only the numbers, for a pipe", f"forecast {AIR} --quiet"),
    ),
    "predict": (
        ("Forecast again from the end of the file a model was trained on", "predict --model runs/air"),
        ("New data, a file of your own", f"predict {AIR} --model runs/air --output next-year.csv"),
        (
            "Three hundred possible futures of each series, for sums and peaks",
            "predict --model runs/air --samples 300 --output futures.csv",
        ),
    ),
    "backtest": (
        ("Every forecaster, from rolling origins", f"backtest {AIR} --windows 4 --out runs/air-backtest"),
        ("A trained model beside them", f"backtest {AIR} --windows 2 --model runs/air"),
    ),
    "compare": (
        ("Three networks under one budget", f"compare {AIR} --networks lstm,gru,mlp --windows 2"),
    ),
    "tune": (
        ("Search for better settings, ten minutes at most", f"tune {AIR} --trials 2 --deadline 10m"),
    ),
    "detect": (
        ("What was not to be expected?", f"detect {AIR}"),
        ("Judged by a model, into a file", f"detect {AIR} --model runs/air --output odd.csv"),
        ("Only what is far off", f"detect {AIR} --threshold 8"),
    ),
    "explain": (
        ("What moved the forecast of the first series?", "explain runs/air"),
        ("Its third step alone, as a picture", "explain runs/air --step 3 --output why.svg"),
    ),
    "plot": (
        ("History and forecast in the terminal", "plot runs/air"),
        ("As a picture", "plot runs/air --output forecast.png"),
    ),
    "report": (
        ("Write the page of a run again", "report runs/air"),
        ("As a file of your own", "report runs/air --output page.html"),
    ),
    "inspect": (("What is in a model", "inspect runs/air"),),
    "runs": (
        ("Everything that was trained here, the best first", "runs --sort mase"),
        ("The same for a program", "runs --json"),
    ),
    "distill": (
        ("A small network that forecasts nearly as well", "distill runs/air --hidden 16"),
    ),
    "federate": (
        ("Each shop a site: what would they gain together?", f"federate simulate {STORES} --site-col id --target-col sales --rounds 2"),
    ),
    "export": (("One file that ONNX Runtime runs", "export runs/air --onnx"),),
    "merge": (
        ("Forecast a folder of files one by one …", "forecast sales --engine local --horizon 12 --output parts"),
        ("… and make one table of the parts", "merge parts"),
    ),
    "init": (
        ("Settings and sample data to start from", "init start"),
        ("Scheduled jobs to start from", "init jobs --batch"),
    ),
    "run": (
        ("What would be done now, and why?", "run jobs/batch.yaml --job passengers --dry-run"),
        ("Do it", "run jobs/batch.yaml --job passengers"),
    ),
    "status": (
        ("What ran, what is published, how good it was", "status jobs/batch.yaml"),
        ("For a monitor: exit code 5 when too old", "status jobs/batch.yaml --job passengers --max-age 26h"),
    ),
    "score": (("How published forecasts compare with what came", "score jobs/batch.yaml --job passengers"),),
    "override": (
        (
            "The planner's numbers, published in place of the model's",
            "override jobs/batch.yaml ours.csv --job passengers --by Ann --reason 'as agreed'",
        ),
    ),
    "rollback": (
        ("Back to the run before the newest", "rollback jobs/batch.yaml --job passengers"),
    ),
    "repair": (
        ("What is damaged, and what would be done?", "repair jobs/batch.yaml"),
        ("Do it", "repair jobs/batch.yaml --yes"),
    ),
    "prune": (
        ("What would be deleted?", "prune jobs/batch.yaml --dry-run"),
        ("Delete it", "prune jobs/batch.yaml"),
    ),
    "serve": (("Serve what is published, to this machine alone", "serve jobs/batch.yaml"),),
    "studio": (("The page for the tables of a folder", "studio sample_data"),),
    "mcp": (("What an agent's client starts, to work in one folder", "mcp sample_data"),),
    "schedule": (
        ("Lines for a crontab", "schedule jobs/batch.yaml --cron"),
        ("Units for systemd", "schedule jobs/batch.yaml --systemd --output units"),
    ),
    "doctor": (("Would the jobs run from cron?", "doctor jobs/batch.yaml"),),
    "help": (
        ("What does an error's code mean?", "help input/duplicate-time"),
        ("All codes", "help codes"),
        ("A command", "help train"),
    ),
}  # fmt: skip
