//! Why a node could not start or change.

/// Why a node could not start or change.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// The database.
    #[error(transparent)]
    Store(#[from] floodwall_store::StoreError),
    /// The gateway could not start.
    #[error(transparent)]
    Gateway(#[from] floodwall_gateway::StartError),
    /// The gateway could not change.
    #[error(transparent)]
    Reload(#[from] floodwall_gateway::ReloadError),
    /// The interface for the kernel filter.
    #[error(transparent)]
    Interface(#[from] floodwall_xdp::AttachError),
    /// A database that says where addresses belong.
    #[error(transparent)]
    Geography(#[from] crate::geography::DatabaseError),
    /// The control socket.
    #[error(transparent)]
    Control(#[from] floodwall_console::control::ControlError),
    /// The system gave no thread.
    #[error("the system gave no thread: {0}; raise the limit on processes (ulimit -u)")]
    Thread(#[source] std::io::Error),
    /// A key that takes effect only at the start.
    #[error("`{0}` cannot change while Floodwall runs; stop it and start it again")]
    NeedsRestart(&'static str),
}
