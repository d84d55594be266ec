//! `tictactoe`: see the library.

fn main() -> anyhow::Result<()> {
    tictactoe::run(<tictactoe::Options as clap::Parser>::parse())
}
