//! Does what its row says.

use std::collections::HashMap;
use std::time::{Duration, Instant, SystemTime};

use sangre_node::{Args, Value};

#[sangre_node::transform]
fn probe(row: String, _args: Args) -> Result<Value, String> {
    match &*row {
        "panic" => panic!("as I was told"),
        "error" => return Err("an error of its own".into()),
        "instant" => drop(Instant::now()),
        "time" => drop(SystemTime::now()),
        "sleep" => std::thread::sleep(Duration::from_secs(3_600)),
        "file" => return std::fs::read_to_string("/etc/passwd").map(Value::from).map_err(|error| error.to_string()),
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
        "flood" => loop {
            println!("a line of many");
        },
        "exit" => std::process::exit(3),
        "allocate" => drop(std::hint::black_box(vec![1_u8; 1 << 30])),
        _ => {}
    }
    Ok(row.into())
}
