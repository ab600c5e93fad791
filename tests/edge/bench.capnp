# What `cargo xtask bench edge` measures: the worker and the yardstick under bare workerd, with a queue and a KV that take
# and know everything. `WORKER` and `PORT` are replaced.
using Workerd = import "/workerd/workerd.capnp";

const config :Workerd.Config = (
  services = [
    (name = "worker", worker = .WORKER),
    (name = "standin", worker = .standin),
  ],
  sockets = [(name = "http", address = "127.0.0.1:PORT", http = (), service = "worker")],
);

const worker :Workerd.Worker = (
  modules = [
    (name = "index.js", esModule = embed "index.js"),
    (name = "./index_bg.wasm", wasm = embed "index_bg.wasm"),
  ],
  compatibilityDate = "2026-07-01",
  bindings = [(name = "EVENTS", queue = "standin"), (name = "KEYS", kvNamespace = "standin")],
  durableObjectNamespaces = [
    (className = "Limits", uniqueKey = "limits", enableSql = true),
    (className = "Salt", uniqueKey = "salt", enableSql = true),
  ],
  durableObjectStorage = (inMemory = void),
);

const yardstick :Workerd.Worker = (
  modules = [
    (name = "yardstick.mjs", esModule = embed "yardstick.mjs"),
    (name = "yardstick_exact.mjs", esModule = embed "yardstick_exact.mjs"),
    (name = "yardstick_scrub.mjs", esModule = embed "yardstick_scrub.mjs"),
  ],
  compatibilityDate = "2026-07-01",
  bindings = [(name = "EVENTS", queue = "standin"), (name = "KEYS", kvNamespace = "standin")],
);

const standin :Workerd.Worker = (
  modules = [(name = "standin.mjs", esModule = embed "standin.mjs")],
  compatibilityDate = "2026-07-01",
);
