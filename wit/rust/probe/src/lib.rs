//! Does what its row says.

use std::collections::HashMap;
use std::time::{Duration, Instant, SystemTime};

use sangre_node::Value;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// Numbers of types that hold more or less of them.
#[derive(Deserialize)]
struct Given {
    long: Option<i64>,
    rounded: Option<f64>,
    digits: Option<Box<RawValue>>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Answer {
    Any(Value),
    Float(f64),
    Long(i64),
    Digits(Box<RawValue>),
}

impl<T: Into<Value>> From<T> for Answer {
    fn from(value: T) -> Self {
        Answer::Any(value.into())
    }
}

// Of C's library: Rust's own gives no randomness but to hash maps.
unsafe extern "C" {
    fn getentropy(buffer: *mut u8, length: usize) -> i32;
}

fn random() -> Answer {
    let mut byte = 0;
    // SAFETY: it writes as many bytes as it is told there are.
    let status = unsafe { getentropy(&raw mut byte, 1) };
    Answer::from(status)
}

fn deep(n: u64) -> u64 {
    if n == u64::MAX { 0 } else { std::hint::black_box(deep(n + 1)) + 1 }
}

fn padded(line: u32) -> String {
    format!("{line:0>1023}")
}

#[sangre_node::transform]
fn probe(row: String, given: &Given) -> Result<Answer, String> {
    match &*row {
        "panic" => panic!("as I was told"),
        "error" => return Err("an error of its own".into()),
        "instant" => drop(Instant::now()),
        "time" => drop(SystemTime::now()),
        "sleep" => std::thread::sleep(Duration::from_secs(3_600)),
        "file" => return std::fs::read_to_string("/etc/passwd").map(Answer::from).map_err(|error| error.to_string()),
        "environment" => return Ok(std::env::vars().count().into()),
        "connect" => {
            let connected = std::net::TcpStream::connect("127.0.0.1:80");
            return connected.map(|_| true.into()).map_err(|error| error.to_string());
        }
        "now" => {
            let time = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_err(|error| error.to_string())?;
            return Ok((time.as_millis() as u64).into());
        }
        "map" => return Ok(HashMap::from([(1, 2)]).len().into()),
        "print" => println!("a line of the probe"),
        // 200 KiB each.
        "prints" => (0..200).for_each(|line| println!("{}", padded(line))),
        "complains" => (0..200).for_each(|line| eprintln!("{}", padded(line))),
        "flood" => loop {
            println!("a line of many");
        },
        "exit" => std::process::exit(3),
        "nan" => return Ok(Answer::Float(f64::NAN)),
        "long" => return given.long.map(Answer::Long).ok_or("no long".into()),
        "rounded" => return given.rounded.map(Answer::Float).ok_or("no rounded".into()),
        "digits" => return given.digits.clone().map(Answer::Digits).ok_or("no digits".into()),
        "random" => return Ok(random()),
        "recursion" => return Ok(deep(0).into()),
        "allocate" => drop(std::hint::black_box(vec![1_u8; 1 << 30])),
        _ => {}
    }
    Ok(row.into())
}
