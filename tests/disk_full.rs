//! When Postgres runs out of disk, people go on being served; when there is room again, what was accepted is written, in
//! order, once.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

mod support;

#[path = "support/postgres.rs"]
mod postgres;

use std::path::PathBuf;
use std::process::Command;

use eddyline::domain::interactions::Kind;
use support::socket::Client;
use support::{Server, block_on};

/// A small file system, unmounted at the end.
struct Small(PathBuf);

impl Small {
    fn mount() -> Option<Small> {
        let place = tempfile::tempdir().unwrap().keep();
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", "size=160m,mode=1777", "tmpfs"]).arg(&place).status();
        mounted.is_ok_and(|status| status.success()).then_some(Small(place))
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
        let _ = std::fs::remove_dir(&self.0);
    }
}

#[test]
fn it_goes_on_while_the_database_has_no_disk() {
    let small = match Small::mount() {
        Some(small) if !postgres::skipped() => small,
        _ => {
            println!("skipped: needs Postgres, and root to mount a small file system");
            return;
        }
    };
    let cluster = postgres::Cluster::start_in(&small.0, &["wal_recycle=off", "max_wal_size=32MB", "min_wal_size=32MB"]);
    let database = cluster.database();
    let server = Server::start_on(tempfile::TempDir::new().unwrap(), cluster.url(&database));
    server.people(&["ada"]);
    server.items(12);
    block_on(async {
        let mut ada = Client::hello(server.address(), "ada").await;
        let first = ada.interact("item-1", Kind::Like).await;
        ada.wait_accepted(&first).await;
        let filler = small.0.join("filler");
        fill(&filler);
        let mut ids = vec![first];
        // Enough to need more room than was left in the file that is being written.
        for number in 0..400 {
            ids.push(ada.interact(&format!("item-{}", 2 + number % 8), Kind::Like).await);
        }
        ada.wait("a feed after them, from memory", |client| client.feeds() > 2).await;
        ada.listen(std::time::Duration::from_secs(2)).await;
        let kept = ids.iter().filter(|id| ada.accepted().contains_key(*id)).count();
        println!("{kept} of {} were accepted while the disk was full", ids.len());
        std::fs::remove_file(&filler).unwrap();
        // Without room for its log Postgres ends itself; whoever looks after it starts it again.
        cluster.run_if_down();
        for (id, seq) in ids.iter().zip(1_u64..) {
            assert_eq!(ada.wait_accepted(id).await, seq);
        }
        let rows = cluster.sql(&database, "SELECT event_id FROM journal ORDER BY position");
        assert_eq!(rows, ids, "all of it, in order, once");
    });
}

/// Takes all room that there is.
fn fill(path: &std::path::Path) {
    use std::io::Write as _;
    let mut file = std::fs::File::create(path).unwrap();
    let block = vec![0_u8; 64 * 1024];
    while file.write_all(&block).is_ok() {}
    while file.write_all(&block[..512]).is_ok() {}
}
