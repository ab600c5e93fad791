//! Projects, keys and settings over HTTP and by the command line, on a running server.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking, in its helpers too"
)]

use std::process::Command;
use std::time::Duration;

use collector::append::{self, Purpose};
use protocol::Timestamp;
use serde_json::{Value, json};
use tests::server::{Folder, Project, Server, binary, client, create_project};
use ureq::http::Request;

const SECRET: &str = "0123456789abcdef0123456789abcdef";

struct Api {
    folder: Folder,
    project: Project,
    server: Server,
}

impl Api {
    fn start(name: &str) -> Self {
        let folder = Folder::new(name).unwrap();
        let project = create_project(folder.path()).unwrap();
        let server = Server::start(folder.path(), &[("RIVULET_EDGE_APPEND_SECRETS", SECRET)]).unwrap();
        Self { folder, project, server }
    }

    fn send(&self, method: &str, path: &str, key: &str, body: &str) -> (u16, Value) {
        let path = path.replace("{p}", &format!("/3.0/projects/{}", self.project.id));
        let request = Request::builder().method(method).uri(format!("{}{path}", self.server.url));
        let request = request.header("authorization", key).body(body.to_owned()).unwrap();
        let mut response = client().run(request).unwrap();
        assert_eq!(response.headers()["access-control-allow-origin"], "*", "{method} {path}");
        let text = response.body_mut().read_to_string().unwrap();
        (response.status().as_u16(), serde_json::from_str(&text).unwrap_or(Value::Null))
    }

    fn master(&self, method: &str, path: &str, body: &str) -> (u16, Value) {
        self.send(method, path, &self.project.master_key, body)
    }

    #[track_caller]
    fn check(&self, (method, path, key, body): (&str, &str, &str, &str), status: u16, code: Option<&str>) {
        let (found, answer) = self.send(method, path, key, body);
        assert_eq!((found, answer["error_code"].as_str()), (status, code), "{method} {path}: {answer}");
    }

    fn run(&self, args: &[&str]) -> String {
        let output = Command::new(binary().unwrap()).args(args).arg("--data").arg(self.folder.path()).output().unwrap();
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }
}

#[test]
fn an_access_key_is_made_found_replaced_revoked_and_deleted() {
    let api = Api::start("keys");
    let filters = json!([{ "property_name": "customer.id", "operator": "eq", "property_value": "42" }]);
    let draft = json!({ "name": "customer 42", "is_active": true, "permitted": ["writes", "queries"],
        "options": { "writes": { "autofill": { "customer": { "id": "42" } } }, "queries": { "filters": filters } } });
    let (status, made) = api.master("POST", "{p}/keys", &draft.to_string());
    assert_eq!(status, 201, "{made}");
    let key = made["key"].as_str().unwrap();
    assert!(key.starts_with("rva") && key.len() == 37, "{key}");
    let options = json!({ "writes": { "autofill": { "customer": { "id": "42" } } }, "queries": { "filters": filters },
        "saved_queries": null, "cached_queries": null, "datasets": null });
    let expected = json!({ "key": key, "name": "customer 42", "is_active": true, "permitted": ["writes", "queries"],
        "project_id": api.project.id, "options": options });
    assert_eq!(made, expected);

    let of = format!("{{p}}/keys/{key}");
    assert_eq!(api.master("GET", &of, ""), (200, expected.clone()));
    assert_eq!(api.master("GET", "{p}/keys", ""), (200, json!([expected])));
    assert_eq!(api.master("GET", "{p}/keys?name=customer%2042", ""), (200, json!([expected])));
    assert_eq!(api.master("GET", "{p}/keys?name=customer", ""), (200, json!([])));
    api.check(("POST", "{p}/events/c", key, "{}"), 201, None);

    // What a client read is what it sends back, nulls and all.
    assert_eq!(api.master("POST", &of, &expected.to_string()), (200, expected.clone()));
    let mut narrowed = expected.clone();
    narrowed["permitted"] = json!(["queries"]);
    assert_eq!(api.master("POST", &of, &narrowed.to_string()), (200, narrowed));
    api.check(("POST", "{p}/events/c", key, "{}"), 403, Some("KeyNotPermittedError"));
    api.check(("GET", "{p}/queries/count?event_collection=c", key, ""), 200, None);

    // Keen's Ruby client posts the JSON text "".
    let (status, revoked) = api.master("POST", &format!("{of}/revoke"), "\"\"");
    assert_eq!((status, &revoked["is_active"]), (200, &json!(false)));
    api.check(("GET", "{p}/queries/count?event_collection=c", key, ""), 401, Some("InvalidApiKeyError"));
    assert_eq!(api.master("POST", &format!("{of}/unrevoke"), "").1["is_active"], true);
    api.check(("GET", "{p}/queries/count?event_collection=c", key, ""), 200, None);
    assert_eq!(api.master("DELETE", &of, "{}"), (204, Value::Null));
    api.check(("GET", "{p}/queries/count?event_collection=c", key, ""), 401, Some("InvalidApiKeyError"));
    api.check(("DELETE", &of, &api.project.master_key, ""), 404, Some("ResourceNotFoundError"));
}

#[test]
fn keys_are_the_master_keys_business_and_what_is_not_understood_is_refused() {
    let api = Api::start("keys-refused");
    let other = create_project(api.folder.path()).unwrap();
    let master = &*api.project.master_key;
    let (_, foreign) = api.send("POST", &format!("/3.0/projects/{}/keys", other.id), &other.master_key, "{}");
    let foreign = format!("{{p}}/keys/{}", foreign["key"].as_str().unwrap());
    let own_master = format!("{{p}}/keys/{master}");
    for (path, key, body, status, code) in [
        ("{p}/keys", &*api.project.read_key, "{}", 403, "AdminOnlyEndpointError"),
        ("{p}/keys", &api.project.write_key, "{}", 403, "AdminOnlyEndpointError"),
        ("{p}/keys", &other.master_key, "{}", 401, "InvalidApiKeyError"),
        ("{p}/keys", "", "{}", 401, "InvalidApiKeyError"),
        ("/3.0/projects/nowhere/keys", master, "{}", 404, "ResourceNotFoundError"),
        ("{p}/keys", master, "", 400, "InvalidParameterError"),
        ("{p}/keys", master, r#"{"options":{"writes":{"colour":1}}}"#, 400, "InvalidParameterError"),
        ("{p}/keys/nothing", master, "{}", 404, "ResourceNotFoundError"),
        ("{p}/keys/nothing/revoke", master, "", 404, "ResourceNotFoundError"),
        (&foreign, master, r#"{"name":"","is_active":true,"permitted":[],"options":{}}"#, 404, "ResourceNotFoundError"),
        (&format!("{foreign}/revoke"), master, "", 404, "ResourceNotFoundError"),
        (&format!("{own_master}/revoke"), master, "", 404, "ResourceNotFoundError"),
    ] {
        api.check(("POST", path, key, body), status, Some(code));
    }
    // The keys a project begins with are not listed, but can be revoked.
    assert_eq!(api.master("GET", "{p}/keys", "").1, json!([]));
    assert_eq!(api.master("POST", &format!("{{p}}/keys/{}/revoke", api.project.write_key), "").0, 200);
    api.check(("POST", "{p}/events/c", &api.project.write_key, "{}"), 401, Some("InvalidApiKeyError"));
}

#[test]
fn projects_and_their_settings_are_shown_to_their_master_key() {
    let api = Api::start("projects");
    let (id, master) = (&*api.project.id, &*api.project.master_key);
    assert_eq!(api.send("GET", "/", "", "").1, json!([{ "is_public": true, "url": "/3.0", "version": "3.0" }]));
    assert_eq!(api.send("GET", "/3.0", "", "").1, json!({ "projects_resource_url": "/3.0/projects" }));
    let (status, project) = api.master("GET", "{p}", "");
    assert_eq!(status, 200);
    for (name, expected) in [
        ("id", json!(id)),
        ("name", json!("test")),
        ("api_key", json!(master)),
        ("read_key", json!(api.project.read_key)),
        ("write_key", json!(api.project.write_key)),
        ("url", json!(format!("/3.0/projects/{id}"))),
        ("events_url", json!(format!("/3.0/projects/{id}/events"))),
        ("events", json!([])),
        ("saved_queries", json!([])),
        ("show_once", json!(false)),
    ] {
        assert_eq!(project[name], expected, "{name}");
    }
    assert_eq!(api.send("GET", "/3.0/projects", master, ""), (200, json!([project])));
    let queries = api.send("GET", "{p}/queries", &api.project.read_key, "").1;
    assert_eq!(queries["count_url"], format!("/3.0/projects/{id}/queries/count"));
    api.check(("GET", "/3.0/projects", &api.project.read_key, ""), 403, Some("AdminOnlyEndpointError"));
    api.check(("GET", "/3.0/projects", "", ""), 401, Some("InvalidApiKeyError"));
    api.check(("GET", "{p}", &api.project.write_key, ""), 403, Some("AdminOnlyEndpointError"));
    api.check(("DELETE", "{p}", master, ""), 405, Some("MethodNotAllowedError"));

    let settings = api.master("GET", "{p}/settings", "").1;
    assert_eq!(settings["privacy"]["address"], "drop");
    let (status, put) =
        api.master("PUT", "{p}/settings", r#"{"privacy":{"address":"keep"},"redirect_hosts":["a.example"]}"#);
    assert_eq!((status, &put["privacy"]["address"], &put["privacy"]["scrub"]), (200, &json!("keep"), &json!(true)));
    assert_eq!(api.master("GET", "{p}/settings", "").1, put);
    for body in ["", "[1]", r#"{"privacy":{"adress":"keep"}}"#, r#"{"privacy":{"address":"maybe"}}"#] {
        api.check(("PUT", "{p}/settings", master, body), 400, Some("InvalidParameterError"));
    }
    api.check(("PUT", "{p}/settings", &api.project.write_key, "{}"), 403, Some("AdminOnlyEndpointError"));
    assert_eq!(api.master("GET", "{p}/settings", "").1, put, "a refused change was made");
}

#[test]
fn a_scoped_key_made_with_the_projects_secret_opens_it_here_and_for_the_edge() {
    let api = Api::start("scoped");
    // PyPI keen 0.7.0: scoped_keys.encrypt(secret, {"allowed_operations": ["write"]}).
    let secret = "00070e151c232a31383f464d545b626970777e858c939aa1a8afb6bdc4cbd2d9";
    let scoped = "834072ae4c584d40610111a5defced48833b31bb6c9ea2f5845da812d01883505d0dfa1f3a5af7377db258f50e33e30dc9ca34ccc9148ed2c71ad58068601546";
    api.check(("POST", "{p}/events/c", scoped, "{}"), 401, Some("InvalidApiKeyError"));
    let output = Command::new(binary().unwrap())
        .args(["project", "import-master-key", "--project", &api.project.id, "--data"])
        .arg(api.folder.path())
        .env("RIVULET_KEEN_MASTER_KEY", secret)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    api.check(("POST", "{p}/events/c", scoped, "{}"), 201, None);
    api.check(("GET", "{p}/queries/count?event_collection=c", scoped, ""), 403, Some("KeyNotPermittedError"));

    let resolve = |key: &str, purpose: Purpose| {
        let question = json!({ "project": api.project.id, "key": key }).to_string();
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        let now = Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap());
        let signed = append::sign_for(purpose, &SECRET.parse().unwrap(), now, question.as_bytes());
        let request = client().post(format!("{}{}", api.server.url, Purpose::Resolve.path()));
        let request = request.header(append::TIMESTAMP_HEADER, &signed.timestamp);
        let mut response = request.header(append::SIGNATURE_HEADER, &signed.signature).send(&question).unwrap();
        let body: Value = serde_json::from_str(&response.body_mut().read_to_string().unwrap()).unwrap();
        (response.status().as_u16(), body)
    };
    let (status, record) = resolve(scoped, Purpose::Resolve);
    assert_eq!((status, &record["permitted"]), (200, &json!(["writes"])), "{record}");
    serde_json::from_value::<protocol::KeyRecord>(record).unwrap();
    assert_eq!(resolve(&scoped.replace('8', "9"), Purpose::Resolve).0, 404);
    assert_eq!(resolve(scoped, Purpose::Append).0, 401, "a signature for another purpose");
}

#[test]
fn scoped_keys_of_the_own_master_key_are_off_until_the_project_turns_them_on() {
    let api = Api::start("scoped-off");
    assert_eq!(api.master("GET", "{p}", "").1["scoped_key_secret"], Value::Null);
    assert_eq!(api.master("GET", "{p}/settings", "").1["legacy_scoped_keys"], false);
    assert_eq!(api.master("PUT", "{p}/settings", r#"{"legacy_scoped_keys":true}"#).0, 200);
    let secret = api.master("GET", "{p}", "").1["scoped_key_secret"].as_str().unwrap().to_owned();
    let scoped = encrypt(&secret, r#"{"allowed_operations":["write"]}"#);
    api.check(("POST", "{p}/events/c", &scoped, "{}"), 201, None);
    assert_eq!(api.master("PUT", "{p}/settings", "{}").0, 200);
    api.check(("POST", "{p}/events/c", &scoped, "{}"), 401, Some("InvalidApiKeyError"));
    assert_eq!(api.master("GET", "{p}", "").1["scoped_key_secret"], Value::Null);
}

/// A scoped key by `openssl`, with an IV of zeros.
fn encrypt(secret: &str, options: &str) -> String {
    use std::io::Write as _;
    let iv = "0".repeat(32);
    let mut command = Command::new("openssl");
    command.args(["enc", "-aes-256-cbc", "-K", secret, "-iv", &iv]);
    let mut child = command.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(options.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    let hex: String = output.stdout.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{iv}{hex}")
}

#[test]
fn the_command_line_shows_and_sets_what_http_does() {
    let api = Api::start("commands");
    let id = &*api.project.id;
    let settings = api.run(&["project", "settings", "--project", id, "--set", r#"{"privacy":{"scrub":false}}"#]);
    assert_eq!(serde_json::from_str::<Value>(&settings).unwrap()["privacy"]["scrub"], false);
    std::thread::sleep(Duration::from_millis(50));
    assert_eq!(api.master("GET", "{p}/settings", "").1["privacy"]["scrub"], false);

    let pairs: Vec<Value> = serde_json::from_str(&api.run(&["key", "publish"])).unwrap();
    assert_eq!(pairs.len(), 4, "{pairs:?}");
    assert!(pairs.iter().any(|pair| pair["key"] == format!("project:{id}")));
    assert!(!json!(pairs).to_string().contains(&api.project.write_key));

    let made: Value = serde_json::from_str(&api.run(&["organization", "create", "acme", "--json"])).unwrap();
    let (organization, key) = (made["organization_id"].as_str().unwrap(), made["key"].as_str().unwrap());
    let path = format!("/3.0/organizations/{organization}/projects");
    let (status, project) = api.send("POST", &path, key, r#"{"name":"new","users":[{"email":"a@b.example"}]}"#);
    assert_eq!(status, 201, "{project}");
    let of = format!("{}/events/c", project["url"].as_str().unwrap());
    api.check(("POST", &of, project["write_key"].as_str().unwrap(), "{}"), 201, None);
    let listed = api.send("GET", "/3.0/projects", key, "").1;
    assert_eq!((&listed[0]["id"], &listed[0]["api_key"], &listed[1]), (&project["id"], &Value::Null, &Value::Null));
    api.check(("POST", &path, &api.project.master_key, r#"{"name":"new"}"#), 403, Some("KeyNotPermittedError"));
    api.check(("POST", &path, "", r#"{"name":"new"}"#), 401, Some("InvalidApiKeyError"));
    api.check(("POST", &path, key, "{}"), 400, Some("InvalidParameterError"));
    api.check(
        ("POST", "/3.0/organizations/none/projects", key, r#"{"name":"new"}"#),
        404,
        Some("ResourceNotFoundError"),
    );
    api.check(("POST", "{p}/events/c", key, "{}"), 401, Some("InvalidApiKeyError"));

    // Shown once: nothing is kept, and the list names keys by their hash.
    api.run(&["project", "show-once", "--project", id]);
    std::thread::sleep(Duration::from_millis(50));
    let (_, made) = api.master("POST", "{p}/keys", r#"{"name":"once"}"#);
    let (_, listed) = api.master("GET", "{p}/keys", "");
    assert_eq!(listed[0]["show_once"], true);
    assert_eq!(listed[0]["last4"], made["key"].as_str().unwrap()[33..]);
    let hash = listed[0]["key"].as_str().unwrap();
    assert_eq!(api.master("POST", &format!("{{p}}/keys/{hash}/revoke"), "").0, 200);
}
