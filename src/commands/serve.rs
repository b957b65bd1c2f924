//! `eddyline serve`: the server over the configured store.
//!
//! Invariant: signals are caught before the store opens, so a signal during the start ends the process in order.

use super::args::ConfigArgs;
use crate::app;
use crate::config::Flags;

/// Run the server.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    config: ConfigArgs,
    /// Address and port; port 0 takes a free one.
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,
    /// `file:DIR` or `postgres://…`. Put a password into `EDDYLINE_STORE` instead: all users of the machine see flags.
    #[arg(long, value_name = "URL")]
    store: Option<String>,
}

/// Serves until a signal ends the server.
///
/// # Errors
/// The reason why the server cannot start or go on.
pub fn run(args: Args) -> anyhow::Result<()> {
    let config = args.config.start(&Flags { listen: args.listen, store: args.store })?;
    actix_web::rt::System::new().block_on(async {
        let starting = async { app::run(&config, app::await_store(&config).await?).await };
        app::Signals::catch()?.serve(starting).await
    })
}
