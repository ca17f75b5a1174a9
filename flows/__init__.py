"""Time and side effects: running the graph, judging, releasing. The graph itself is dvc.yaml.

The environment is set here, on import, because each tool reads its own on import: nothing is
reported to anybody, and Prefect keeps its database with the shop unless a person chose a server.
"""

import os
from pathlib import Path

QUIET = {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DVC_NO_ANALYTICS": "1",
    "GX_ANALYTICS_ENABLED": "false",
    "BENTOML_DO_NOT_TRACK": "True",
    "RAY_USAGE_STATS_ENABLED": "0",
}

for _name, _value in QUIET.items():
    os.environ.setdefault(_name, _value)
if not os.environ.keys() & {"PREFECT_API_URL", "PREFECT_HOME", "PREFECT_PROFILE"}:
    _home = Path(os.environ.get("SHOP_HOME", "shop")).resolve() / "prefect"
    _home.mkdir(parents=True, exist_ok=True)  # Prefect would make the last folder only, on import, and warn
    os.environ["PREFECT_HOME"] = str(_home)
