"""What the tests of Python clients share. Environment: EDGE_URL, ACCESS_TOKEN, SIMULATOR_URL."""

import json
import os
import time
import urllib.request
import uuid

EDGE = os.environ["EDGE_URL"] + "/v1"
TOKEN = os.environ["ACCESS_TOKEN"]
SIMULATOR = os.environ["SIMULATOR_URL"]
DIRECT = SIMULATOR + "/v1"
SIMULATOR_KEY = "sk-canary-provider-key"
PROMPT = "Tell me about edges."


def metadata(behaviour=None):
    """A marker of its own, and how the simulator behaves: one behaviour, or a list with one for each attempt."""
    return {"marker": str(uuid.uuid4()), "sim": json.dumps(behaviour or {})}


def request(behaviour=None, **more):
    messages = [{"role": "user", "content": PROMPT}]
    return {"model": "sim-1", "messages": messages, "metadata": metadata(behaviour)} | more


def counters(marker):
    with urllib.request.urlopen(f"{SIMULATOR}/__sim/counters?marker={marker}") as response:
        return json.load(response)


def assert_cancelled(marker):
    """The provider sees within a second, and a busy machine's allowance, that the client has gone."""
    for _ in range(500):
        if counters(marker)["cancelled"] == 1:
            return
        time.sleep(0.02)
    raise AssertionError("the provider never saw the cancellation")


def tool(name):
    parameters = {"type": "object", "properties": {}}
    return {"type": "function", "function": {"name": name, "parameters": parameters}}
