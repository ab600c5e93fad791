//! The matrix of access: every route of the server's own table, with every kind of key in every state.
//!
//! The table (`server::routes::ROUTES`) is the source: a route without a row here fails this test, so nobody can add one
//! without saying what a request to it looks like. What each key should get is worked out here from what the route needs,
//! independently of the code that decides it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking, in its helpers too"
)]

use protocol::{Key, KeyKind, Permit};
use serde_json::{Value, json};
use server::routes::{Needs, ROUTES, Route};
use tests::server::{Folder, Project, Server, binary, client, create_project};

/// All permits, with their names on the wire.
const PERMITS: [(Permit, &str); 6] = [
    (Permit::Writes, "writes"),
    (Permit::Queries, "queries"),
    (Permit::SavedQueries, "saved_queries"),
    (Permit::CachedQueries, "cached_queries"),
    (Permit::Datasets, "datasets"),
    (Permit::Schema, "schema"),
];

/// What a request to a route looks like.
struct Row {
    /// Added to the path, without the question mark.
    query: &'static str,
    body: &'static str,
    /// What an allowed caller gets.
    allowed: &'static [u16],
}

const fn row(query: &'static str, body: &'static str, allowed: &'static [u16]) -> Row {
    Row { query, body, allowed }
}

/// A row for every route. The paths are those of the table; a route that needs two different things has two rows.
fn row_of(route: &Route) -> Option<Row> {
    let below = route.path.strip_prefix("/3.0/projects/{project}/").unwrap_or(route.path);
    Some(match (route.method, below, route.needs) {
        ("GET", "/live" | "/ready" | "/metrics" | "/" | "/3.0", _) => row("", "", &[200]),
        // None of these callers can sign.
        ("POST", "/3.0/internal/append" | "/3.0/internal/quarantine" | "/3.0/internal/resolve", _) => {
            row("", "{}", &[401])
        }
        ("GET", "/3.0/projects" | "/3.0/projects/{project}", _) => row("", "", &[200]),
        ("POST", "/3.0/organizations/{organization}/projects", _) => row("", r#"{"name":"made"}"#, &[201]),
        ("GET", "queries" | "settings" | "keys" | "events" | "balance" | "quarantine", _) => row("", "", &[200]),
        ("PUT", "settings", _) => row("", "{}", &[200]),
        ("POST", "keys", _) => row("", r#"{"name":"made","is_active":true,"permitted":[],"options":{}}"#, &[201]),
        // Of a key that is not there.
        ("GET" | "DELETE", "keys/{key}", _) => row("", "", &[404]),
        ("POST", "keys/{key}", _) => row("", r#"{"name":"made","is_active":true,"permitted":[],"options":{}}"#, &[404]),
        ("POST", "keys/{key}/revoke" | "keys/{key}/unrevoke", _) => row("", "", &[404]),
        ("GET", "events/{collection}", Needs::Permit(Permit::Schema)) => row("", "", &[200]),
        ("GET", "events/{collection}/properties/{property}", _) => row("", "", &[200]),
        ("DELETE", "events/{collection}" | "events/{collection}/properties/{property}", _) => row("", "", &[204, 404]),
        ("POST", "quarantine/replay", _) => row("", "", &[200]),
        ("GET", "quarantine/{number}", _) | ("POST", "quarantine/{number}/replay", _) => row("", "", &[404]),
        ("POST", "/v1/batch" | "/v1/b" | "/v1/import", _) => {
            row("", r#"{"batch":[{"type":"track","event":"matrix"}]}"#, &[200])
        }
        ("POST", path, Needs::Permit(Permit::Writes)) if path.starts_with("/v1/") => {
            row("", r#"{"event":"matrix","userId":"u","groupId":"g","previousId":"p"}"#, &[200])
        }
        ("POST", "events", _) => row("", r#"{"matrix":[{}]}"#, &[200]),
        ("POST", "events/{collection}", _) => row("", "{}", &[201]),
        ("GET", "events/{collection}", Needs::Permit(Permit::Writes)) => row("data=e30%3D", "", &[200]),
        ("POST", "batches", _) => row("", r#"{"sent_at":0,"events":[]}"#, &[200]),
        ("GET", "queries/{analysis}", _) => row("event_collection=matrix", "", &[200]),
        ("POST", "queries/{analysis}", _) => row("", r#"{"event_collection":"matrix"}"#, &[200]),
        ("GET", "charts/{picture}", _) => row("event_collection=matrix", "", &[200]),
        _ => return None,
    })
}

/// Who asks.
struct Caller {
    name: String,
    /// None: no key at all.
    key: Option<String>,
    /// What its key may do in the project; none: it is no key of the project, or not any more.
    can: Option<Can>,
    /// What its key may do where the path names no project, so that the key itself says which one it is.
    can_there: Option<Can>,
}

#[derive(Debug, Clone)]
enum Can {
    All,
    Only(Vec<Permit>),
    /// Makes and lists projects.
    Organize,
}

/// How a key is presented.
#[derive(Debug, Clone, Copy)]
enum How {
    Header,
    Bearer,
    Parameter,
}

/// The status that a route owes a caller, when it is not the row's own.
fn refusal(needs: Needs, can: Option<&Can>) -> Option<u16> {
    match (needs, can) {
        (Needs::Permit(_) | Needs::Master, None) => Some(401),
        (Needs::Permit(permit), Some(Can::Only(permits))) if !permits.contains(&permit) => Some(403),
        (Needs::Permit(_), Some(Can::Organize)) => Some(401),
        (Needs::Master, Some(Can::Only(_))) => Some(403),
        (Needs::Organization, None) => Some(401),
        (Needs::Organization, Some(Can::All | Can::Only(_))) => Some(403),
        _ => None,
    }
}

fn command(folder: &Folder, words: &[&str]) -> String {
    let output =
        std::process::Command::new(binary().unwrap()).args(words).arg("--data").arg(folder.path()).output().unwrap();
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Makes an access key through the API.
fn access_key(server: &Server, project: &Project, permitted: &[&str]) -> String {
    let body = json!({ "name": permitted.join(" "), "is_active": true, "permitted": permitted, "options": {} });
    let (status, made) = send(server, "POST", &keys_path(project), &project.master_key, &body.to_string());
    assert_eq!(status, 201, "{made}");
    made["key"].as_str().unwrap().to_owned()
}

fn keys_path(project: &Project) -> String {
    format!("/3.0/projects/{}/keys", project.id)
}

fn revoke(server: &Server, project: &Project, key: &str) {
    let path = format!("{}/{key}/revoke", keys_path(project));
    assert_eq!(send(server, "POST", &path, &project.master_key, "").0, 200, "revoke");
}

fn send(server: &Server, method: &str, path: &str, key: &str, body: &str) -> (u16, Value) {
    let request = ureq::http::Request::builder()
        .method(method)
        .uri(format!("{}{path}", server.url))
        .header("Authorization", key)
        .header("Content-Type", "application/json");
    let mut response = client().run(request.body(body.to_owned()).unwrap()).unwrap();
    let text = response.body_mut().read_to_string().unwrap_or_default();
    (response.status().as_u16(), serde_json::from_str(&text).unwrap_or(Value::String(text)))
}

fn callers(
    server: &Server,
    folder: &Folder,
    project: &Project,
    other: &Project,
    organization: &(String, String),
) -> Vec<Caller> {
    let mut callers = Vec::new();
    let mut put = |name: &str, key: Option<&str>, can: Option<Can>, can_there: Option<Can>| {
        callers.push(Caller { name: name.to_owned(), key: key.map(str::to_owned), can, can_there });
    };
    let mut add = |name: &str, key: Option<&str>, can: Option<Can>| put(name, key, can.clone(), can);
    let unknown = |kind| Key::from_random(kind, [9; 28]);
    let reads = || {
        let all = PERMITS.iter().map(|(permit, _)| *permit);
        Can::Only(all.filter(|permit| *permit != Permit::Writes).collect())
    };
    add("nobody", None, None);
    add("a malformed key", Some("rvwnonsense"), None);
    add("64 hex digits", Some(&"0f".repeat(32)), None);
    add("the master key", Some(&project.master_key), Some(Can::All));
    add("the read key", Some(&project.read_key), Some(reads()));
    add("the write key", Some(&project.write_key), Some(Can::Only(vec![Permit::Writes])));
    for kind in [KeyKind::Master, KeyKind::Read, KeyKind::Write, KeyKind::Access] {
        add(&format!("a {kind:?} key that nobody was given"), Some(unknown(kind).reveal()), None);
    }
    for (permit, name) in PERMITS {
        add(
            &format!("an access key that permits {name}"),
            Some(&access_key(server, project, &[name])),
            Some(Can::Only(vec![permit])),
        );
        let revoked = access_key(server, project, &[name]);
        revoke(server, project, &revoked);
        add(&format!("a revoked access key that permitted {name}"), Some(&revoked), None);
    }
    add("an access key that permits nothing", Some(&access_key(server, project, &[])), Some(Can::Only(Vec::new())));
    for kind in ["read", "write"] {
        let made: Value = serde_json::from_str(&command(
            folder,
            &["key", "create", "--project", &project.id, "--kind", kind, "--json"],
        ))
        .unwrap();
        let key = made["key"].as_str().unwrap();
        command(folder, &["key", "revoke", "--project", &project.id, key]);
        add(&format!("a revoked {kind} key"), Some(key), None);
    }
    for (kind, key, can) in [
        ("master", &other.master_key, Can::All),
        ("read", &other.read_key, reads()),
        ("write", &other.write_key, Can::Only(vec![Permit::Writes])),
    ] {
        put(&format!("another project's {kind} key"), Some(key), None, Some(can));
    }
    for (permit, name) in PERMITS {
        let key = access_key(server, other, &[name]);
        let can = Can::Only(vec![permit]);
        put(&format!("another project's access key that permits {name}"), Some(&key), None, Some(can));
    }
    put("an organization's key", Some(&organization.1), None, Some(Can::Organize));
    callers
}

/// Sends one request of a cell and gives its status.
fn cell(
    server: &Server,
    route: &Route,
    row: &Row,
    names: (&str, &str),
    caller: &Caller,
    how: How,
    number: usize,
) -> u16 {
    let (project, organization) = names;
    let mut path = route
        .path
        .replace("{project}", project)
        .replace("{organization}", organization)
        .replace("{analysis}", "count")
        .replace("{picture}", "count.svg");
    if route.method != "DELETE" {
        path = path.replace("{collection}", "matrix").replace("{property}", "keen.id");
    }
    // Each cell has a place of its own to make or delete.
    for name in ["{collection}", "{property}", "{key}", "{number}"] {
        path = path.replace(name, &format!("{number}"));
    }
    let mut query = row.query.to_owned();
    let key = caller.key.as_deref();
    if let (How::Parameter, Some(key)) = (how, key) {
        query.push_str(&format!("&api_key={key}"));
    }
    let mut request = ureq::http::Request::builder().method(route.method).uri(format!("{}{path}?{query}", server.url));
    match (how, key) {
        (How::Header, Some(key)) => request = request.header("Authorization", key),
        (How::Bearer, Some(key)) => request = request.header("Authorization", format!("Bearer {key}")),
        _ => {}
    }
    client().run(request.body(row.body.to_owned()).unwrap()).unwrap().status().as_u16()
}

#[test]
fn every_route_gives_every_kind_of_key_what_it_may_have_and_no_more() {
    let missing: Vec<_> =
        ROUTES.iter().filter(|route| row_of(route).is_none()).map(|route| (route.method, route.path)).collect();
    assert!(missing.is_empty(), "routes without a row in this file: {missing:?}");

    let folder = Folder::new("matrix").unwrap();
    let (project, other) = (create_project(folder.path()).unwrap(), create_project(folder.path()).unwrap());
    let server = Server::start(folder.path(), &[]).unwrap();
    assert_eq!(
        send(&server, "POST", &format!("/3.0/projects/{}/events/matrix", project.id), &project.write_key, "{}").0,
        201
    );
    let made: Value = serde_json::from_str(&command(&folder, &["organization", "create", "acme", "--json"])).unwrap();
    let organization = (made["organization_id"].as_str().unwrap().to_owned(), made["key"].as_str().unwrap().to_owned());
    let callers = callers(&server, &folder, &project, &other, &organization);
    let mut faults = Vec::new();
    let mut cells = 0_usize;
    for route in ROUTES {
        let row = row_of(route).unwrap();
        for caller in &callers {
            for how in [How::Header, How::Bearer, How::Parameter] {
                cells += 1;
                let status = cell(&server, route, &row, (&project.id, &organization.0), caller, how, cells);
                let can = if route.path.contains("{project}") { &caller.can } else { &caller.can_there };
                let expected = refusal(route.needs, can.as_ref());
                let is_right = expected.map_or(row.allowed.contains(&status), |expected| status == expected);
                if !is_right {
                    let expected = expected.map_or(row.allowed.to_vec(), |one| vec![one]);
                    faults.push(format!(
                        "{} {} as {} by {how:?}: {status}, not {expected:?}",
                        route.method, route.path, caller.name
                    ));
                }
                // A project that does not exist answers the same to everybody.
                if route.path.contains("{project}") {
                    cells += 1;
                    let status = cell(&server, route, &row, ("nowhere", &organization.0), caller, how, cells);
                    if status != 404 {
                        faults.push(format!(
                            "{} {} of no project as {}: {status}",
                            route.method, route.path, caller.name
                        ));
                    }
                }
            }
        }
    }
    println!("{cells} cells, {} routes, {} callers", ROUTES.len(), callers.len());
    assert!(faults.is_empty(), "{} of {cells} cells:\n{}", faults.len(), faults.join("\n"));
}
