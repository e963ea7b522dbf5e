//! A process that ends when whoever started it is gone, however that ended.

use std::io;
use std::process;
use std::thread;

/// Ends this process once its standard input does: it is a pipe into which nothing is ever written, and the kernel
/// closes it when the other end's process is gone.
///
/// # Errors
/// The operating system refuses a thread.
pub fn end_with_parent() -> io::Result<()> {
    let watch = || {
        // An error is as good as an end: nobody is there to be heard.
        let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
        process::exit(1);
    };
    thread::Builder::new()
        .name("parent-watch".to_owned())
        .spawn(watch)
        .map(drop)
}
