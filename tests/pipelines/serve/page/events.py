"""Events of the page, posted over HTTP as its browser posts them."""

import json


def post_event(web, component, event, values, session):
    """Ask Gradio's queue for an event of the page; the answer of the queue.

    Args:
        web: a client of the page.
        component: the `elem_id` of what the event is of.
        event: its name.
        values: what is entered, by `elem_id`; the rest is as the page first shows it.
        session: as every tab of a browser has its own.
    """
    config = web.get("/config").json()
    components = {one["id"]: one["props"] for one in config["components"]}
    number = next(one for one, props in components.items() if props.get("elem_id") == component)
    called = next(one for one in config["dependencies"] if [number, event] in one["targets"])
    inputs = [components[one] for one in called["inputs"]]
    data = [values.get(props.get("elem_id"), props.get("value")) for props in inputs]
    asked = {"data": data, "fn_index": called["id"], "session_hash": session, "trigger_id": number}
    return web.post("/gradio_api/queue/join", json=asked)


def read_result(web, session):
    """Wait for the end of a session's event; what it came to."""
    with web.stream("GET", "/gradio_api/queue/data", params={"session_hash": session}) as stream:
        line = next(line for line in stream.iter_lines() if "process_completed" in line)
    return json.loads(line.removeprefix("data: "))
