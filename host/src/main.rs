//! The program `sangre`; everything is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    sangre::cli::main()
}
