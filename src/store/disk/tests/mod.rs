mod block;
mod blocks;
mod directory;
mod former;
mod head;
mod held;
mod journal;
mod marks;
mod upgrade;

use std::sync::Arc;

use redb::Database;

use super::head::{Begins, Head};
use super::part::Part;
use crate::store::tests::device::Device;

/// The database in `device`, whose store is closed.
fn database(device: &Device) -> Database {
    let part = Part::new(Arc::new(device.clone()), head(device).database_at());
    Database::builder().create_with_backend(part).unwrap()
}

fn head(device: &Device) -> Head {
    match Head::read(device).unwrap() {
        Begins::Store(head) => head,
        other => panic!("no store: {other:?}"),
    }
}
