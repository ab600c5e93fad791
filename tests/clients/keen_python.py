"""Keen's own Python client, unmodified from PyPI, pointed at our server; prints one line of JSON per fact.

Separate from keen_python.mjs, which starts the server and judges, because the client is Python. Reads the address and
the keys from the environment; nothing here knows what is right.
"""

import json
import os
import sys

from keen import scoped_keys
from keen.client import KeenClient
from keen.exceptions import KeenApiError

SERVER = os.environ["RIVULET_SERVER"]
PROJECT = os.environ["RIVULET_PROJECT"]
WRITE, READ, MASTER = (os.environ[f"RIVULET_{kind}_KEY"] for kind in ("WRITE", "READ", "MASTER"))


def client(write=WRITE, read=READ, master=MASTER):
    return KeenClient(PROJECT, write_key=write, read_key=read, master_key=master, base_url=SERVER)


def say(fact, value):
    print(json.dumps({"fact": fact, "value": value}), flush=True)


def refused(call):
    """The code of Keen's error, or none when the call passed."""
    try:
        call()
    except KeenApiError as error:
        return error.api_error["error_code"]
    return None


def write():
    keen = client()
    keen.add_event("sign ups", {"plan": "free", "price": 12.5})
    say("bulk", keen.add_events({"visits": [{"page": "/"}, {"page": "/a"}, {"$bad": 1}], "sign ups": [{"price": 2}]}))
    from datetime import datetime

    keen.add_event("dated", {"a": 1}, timestamp=datetime(2020, 1, 2, 3, 4, 5, 678000))
    # The client needs the key as bytes here, and leaves base64 unescaped; the image is fetched as a mail reader would.
    import requests

    beacon = client(write=WRITE.encode()).generate_image_beacon("opened mails", {"name": "Zoë >>> ???", "n": 1})
    answer = requests.get(beacon, timeout=30)
    say("beacon", [answer.status_code, answer.headers["Content-Type"], len(answer.content)])
    say("wrong key", refused(lambda: client(write="wrong").add_event("sign ups", {"a": 1})))
    say("bad event", refused(lambda: keen.add_event("sign ups", {"$bad": 1})))


def look():
    keen = client()
    say("collections", sorted(one["name"] for one in keen.get_all_collections()))
    say("collection", keen.get_collection("sign ups"))
    say("count", keen.count("sign ups", timeframe="this_1_years"))
    say("sum", keen.sum("sign ups", target_property="price", timeframe="this_1_years"))
    say("dated", keen.count("dated", timeframe={"start": "2020-01-02T03:04:05.678Z", "end": "2020-01-02T03:04:05.679Z"}))


def keys():
    keen = client()
    options = {"writes": {"autofill": {"customer": {"id": 93}}}, "queries": {"filters": [
        {"property_name": "customer.id", "operator": "eq", "property_value": 93}]}}
    made = keen.create_access_key("customer 93", permitted=["writes", "queries"], options=options)
    say("made", {name: made[name] for name in ("name", "is_active", "permitted", "options", "project_id")})
    key = made["key"]
    client(write=key).add_event("orders", {"customer": {"id": 1}, "n": 1})
    keen.add_event("orders", {"customer": {"id": 1}, "n": 2})
    say("listed", [one["name"] for one in keen.list_access_keys()])
    say("got", keen.get_access_key(key)["name"])
    say("renamed", keen.update_access_key_name(key, "customer 93 b")["name"])
    say("narrowed", keen.remove_access_key_permissions(key, ["writes"])["permitted"])
    say("write without permit", refused(lambda: client(write=key).add_event("orders", {"n": 3})))
    keen.revoke_access_key(key)
    say("revoked", refused(lambda: client(read=key).count("orders", timeframe="this_1_years")))
    say("unrevoked", keen.unrevoke_access_key(key)["is_active"])
    say("kept options", keen.get_access_key(key)["options"])
    say("key", key)


def scoped():
    # The client takes keys of 32 or 64 characters only, so the project has a secret of its own for this.
    import requests

    def project():
        url, master = f"{SERVER}/3.0/projects/{PROJECT}", {"Authorization": MASTER}
        return requests.get(url, headers=master, timeout=30).json()

    say("scoped secret before", project().get("scoped_key_secret"))
    # They are off until the project's owner turns them on.
    url, master = f"{SERVER}/3.0/projects/{PROJECT}/settings", {"Authorization": MASTER}
    requests.put(url, headers=master, json={"legacy_scoped_keys": True}, timeout=30).raise_for_status()
    text = scoped_keys.encrypt(project()["scoped_key_secret"], {"allowed_operations": ["read"], "filters": [
        {"property_name": "customer.id", "operator": "eq", "property_value": 93}]})
    text = text.decode() if isinstance(text, bytes) else text
    keen = client(read=text, write=text)
    say("scoped count", keen.count("orders", timeframe="this_1_years"))
    say("scoped write", refused(lambda: keen.add_event("orders", {"n": 4})))


def own():
    """What the access key of `keys` sees, and its end."""
    key = os.environ["RIVULET_OWN_KEY"]
    say("own count", client(read=key).count("orders", timeframe="this_1_years"))
    say("all count", client().count("orders", timeframe="this_1_years"))
    client().delete_access_key(key)
    say("deleted key", refused(lambda: client(read=key).count("orders", timeframe="this_1_years")))


def delete():
    keen = client()
    filters = [{"property_name": "page", "operator": "eq", "property_value": "/a"}]
    keen.delete_events("visits", timeframe="this_1_years", filters=filters)
    say("after filter", keen.count("visits", timeframe="this_1_years"))
    keen.delete_events("dated")
    say("after collection", sorted(one["name"] for one in keen.get_all_collections()))
    say("delete with the read key", refused(lambda: client(master=READ).delete_events("visits")))


{"write": write, "look": look, "keys": keys, "scoped": scoped, "own": own, "delete": delete}[sys.argv[1]]()
