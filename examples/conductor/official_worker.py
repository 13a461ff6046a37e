"""The same order, with the published Python client of Conductor, unmodified: only its address is ours.

You learn:
- workers that you have go on as they are: set `CONDUCTOR_SERVER_URL`;
- registration, workers and starts are those of that client (`pip install conductor-python`).

    tenuto server                                      in one terminal
    python -m examples.conductor.official_worker       in another one
"""

import json
import sys
from pathlib import Path
from typing import Any

from conductor.client.automator.task_handler import TaskHandler
from conductor.client.configuration.configuration import Configuration
from conductor.client.http.models.start_workflow_request import StartWorkflowRequest
from conductor.client.orkes_clients import OrkesClients
from conductor.client.worker.worker_task import worker_task

SERVER = "http://127.0.0.1:8080"
STOCK = {"book": 250, "pen": 120}


@worker_task("reserve")
def reserve(item: str, pieces: int) -> dict[str, Any]:
    return {"reserved": item in STOCK, "price": STOCK.get(item, 0)}


@worker_task("charge")
def charge(cents: int) -> dict[str, Any]:
    return {"receipt": f"{cents} cents"}


def main(url: str = SERVER) -> None:
    configuration = Configuration(server_api_url=f"{url}/api")
    clients = OrkesClients(configuration)
    definition = json.loads(Path(__file__).with_name("order.json").read_text())
    clients.get_metadata_client().update_workflow_def(definition, overwrite=True)
    with TaskHandler(workers=[], configuration=configuration, scan_for_annotated_workers=True) as workers:
        workers.start_processes()
        request = StartWorkflowRequest(name="order", version=1, input={"item": "pen", "pieces": 3})
        run = clients.get_workflow_client().execute_workflow(request, wait_for_seconds=30)
        print(run.status, run.output)


if __name__ == "__main__":
    main(*sys.argv[1:])
