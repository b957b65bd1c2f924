//! Progress over the bytes of files.

use indicatif::ProgressBar;

use eddyline_files::Watch;

/// A callback that sets the bar to the bytes read so far.
pub fn watch(bar: &ProgressBar) -> Watch {
    let bar = bar.clone();
    Box::new(move |progress| {
        bar.set_length(progress.bytes_total);
        bar.set_position(progress.bytes_read);
    })
}
