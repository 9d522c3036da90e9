/// `GET /healthz`: the process serves. It looks at nothing downstream, and no limit that load could
/// fill stands before it.
pub async fn healthz() -> &'static str {
    "OK"
}
