//! What the endpoint serves, and for whom.

use ingot_query::{Caller, Registry, Seal, Session};

/// What a client may send in one message: parameters, not data.
pub(super) const REQUEST_BYTES_MAX: usize = 16 << 20;
/// The caller of every call: there is no authentication yet.
pub(super) const CALLER: &Caller = &Caller::ANONYMOUS;

/// What is served; cheap to clone. Endpoints that share one know each other's queries and prepared statements.
#[derive(Clone)]
pub struct Served {
    /// Plans and runs.
    pub session: Session,
    /// Running queries and prepared statements.
    pub registry: Registry,
    /// What tickets are sealed with.
    pub seal: Seal,
}

impl Served {
    /// A session with nothing running yet.
    pub fn new(session: Session, seal: Seal) -> Self {
        Self { session, registry: Registry::default(), seal }
    }
}
