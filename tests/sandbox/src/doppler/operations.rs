//! Every operation of the Doppler sandbox: its path, its name and its handler.

use axum::http::Method;

use super::call::Call;
use super::limits::Class;
use super::model::State;
use super::reply::Answer;
use super::{accounts, configs, download, environments, logs, projects, secrets, update, watch};

pub(super) struct Operation {
    method: Method,
    path: &'static str,
    pub(super) name: &'static str,
    pub(super) answer: fn(&mut State, &Call) -> Answer,
}

static OPERATIONS: &[Operation] = &[
    get("/v3/configs/config/secret", "GetSecret", secrets::get),
    delete("/v3/configs/config/secret", "DeleteSecret", secrets::delete),
    get("/v3/configs/config/secrets", "ListSecrets", secrets::list),
    post(
        "/v3/configs/config/secrets",
        "UpdateSecrets",
        update::update,
    ),
    get(
        "/v3/configs/config/secrets/names",
        "ListSecretNames",
        secrets::names,
    ),
    get(
        "/v3/configs/config/secrets/download",
        "DownloadSecrets",
        download::download,
    ),
    post(
        "/v3/configs/config/secrets/upload",
        "UploadSecrets",
        update::upload,
    ),
    get(
        "/v3/configs/config/secrets/watch",
        "WatchSecrets",
        watch::watch,
    ),
    post(
        "/v3/configs/config/secrets/note",
        "SetSecretNote",
        secrets::set_note,
    ),
    post(
        "/v3/projects/project/note",
        "SetSecretNote",
        secrets::set_note,
    ),
    get("/v3/configs/config/ping", "Ping", watch::ping),
    get("/v3/me", "Me", accounts::me),
    get("/v3/projects", "ListProjects", projects::list),
    post("/v3/projects", "CreateProject", projects::create),
    get("/v3/projects/project", "GetProject", projects::get),
    post("/v3/projects/project", "UpdateProject", projects::update),
    delete("/v3/projects/project", "DeleteProject", projects::delete),
    get("/v3/environments", "ListEnvironments", environments::list),
    post(
        "/v3/environments",
        "CreateEnvironment",
        environments::create,
    ),
    get(
        "/v3/environments/environment",
        "GetEnvironment",
        environments::get,
    ),
    put(
        "/v3/environments/environment",
        "UpdateEnvironment",
        environments::update,
    ),
    delete(
        "/v3/environments/environment",
        "DeleteEnvironment",
        environments::delete,
    ),
    get("/v3/configs", "ListConfigs", configs::list),
    post("/v3/configs", "CreateConfig", configs::create),
    get("/v3/configs/config", "GetConfig", configs::get),
    delete("/v3/configs/config", "DeleteConfig", configs::delete),
    post("/v3/configs/config/lock", "LockConfig", configs::lock),
    post("/v3/configs/config/unlock", "UnlockConfig", configs::unlock),
    post(
        "/v3/configs/config/inheritable",
        "SetInheritable",
        configs::set_inheritable,
    ),
    post(
        "/v3/configs/config/inherits",
        "SetInherits",
        configs::set_inherits,
    ),
    get("/v3/configs/config/logs", "ListLogs", logs::list),
    get("/v3/configs/config/logs/log", "GetLog", logs::get),
    post(
        "/v3/configs/config/logs/log/rollback",
        "RollBackLog",
        logs::roll_back,
    ),
    get(
        "/v3/configs/config/tokens",
        "ListServiceTokens",
        accounts::list,
    ),
    post(
        "/v3/configs/config/tokens",
        "CreateServiceToken",
        accounts::create,
    ),
    delete(
        "/v3/configs/config/tokens/token",
        "DeleteServiceToken",
        accounts::delete,
    ),
];

pub(super) fn find(method: &Method, path: &str) -> Option<&'static Operation> {
    OPERATIONS
        .iter()
        .find(|operation| operation.method == *method && operation.path == path)
}

/// Returns the limit that a request counts against.
pub(super) fn class(method: &Method, path: &str) -> Class {
    match *method {
        Method::GET if path.contains("/secret") => Class::SecretRead,
        Method::GET => Class::Read,
        _ => Class::Write,
    }
}

type Handler = fn(&mut State, &Call) -> Answer;

const fn get(path: &'static str, name: &'static str, answer: Handler) -> Operation {
    Operation {
        method: Method::GET,
        path,
        name,
        answer,
    }
}

const fn post(path: &'static str, name: &'static str, answer: Handler) -> Operation {
    Operation {
        method: Method::POST,
        path,
        name,
        answer,
    }
}

const fn put(path: &'static str, name: &'static str, answer: Handler) -> Operation {
    Operation {
        method: Method::PUT,
        path,
        name,
        answer,
    }
}

const fn delete(path: &'static str, name: &'static str, answer: Handler) -> Operation {
    Operation {
        method: Method::DELETE,
        path,
        name,
        answer,
    }
}
