//! Writes on a schedule.
//!
//! A write's time is the one it was scheduled for. If the database or this machine is late, what waits behind it is late too
//! and that counts: a clock that only started when a write gets its turn would leave out exactly the delays that matter
//! (*coordinated omission*). The schedule is kept to some microseconds: timers of an async runtime are milliseconds wide, as
//! wide as what is measured.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::world::Place;

/// A write that was sent.
#[derive(Clone, Copy, Debug)]
pub struct Write {
    /// The number it left in the row.
    pub number: u32,
    /// The place it wrote to.
    pub place: u32,
    /// When it was to be sent.
    pub scheduled: Instant,
}

/// How a place is called after a write: the number stands out in any text that holds the name, and places keep their order.
pub fn name(place: &Place, number: u32) -> String {
    format!("{} #{number};", place.name)
}

/// The numbers in a text that holds names of places.
pub fn numbers(text: &str) -> impl Iterator<Item = u32> {
    text.split('#').skip(1).filter_map(|rest| rest.split_once(';')?.0.parse().ok())
}

/// Updates places in turn over a connection of its own, a transaction each, from a thread of its own; numbers count from
/// `first`. The last few microseconds before each write are waited out busily.
pub async fn write(url: &str, places: &[Place], rate: f64, during: Duration, first: u32) -> Result<Vec<Write>> {
    let (url, places) = (url.to_owned(), places.to_vec());
    tokio::task::spawn_blocking(move || run(&url, &places, rate, during, first)).await?
}

fn run(url: &str, places: &[Place], rate: f64, during: Duration, first: u32) -> Result<Vec<Write>> {
    // One thread: what is sent leaves at once, without waking another.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (client, update) = runtime.block_on(async {
        let client = super::world::connect(url).await?;
        let update = client.prepare("UPDATE places SET name = $1 WHERE id = $2").await?;
        Ok::<_, anyhow::Error>((client, update))
    })?;
    let count = ((during.as_secs_f64() * rate) as u32).max(1);
    let begin = Instant::now() + Duration::from_millis(20);
    let mut writes = Vec::with_capacity(count as usize);
    for index in 0..count {
        let number = first + index;
        let place = &places[number as usize % places.len()];
        let name = name(place, number);
        let scheduled = begin + Duration::from_secs_f64(f64::from(index) / rate);
        wait_until(scheduled);
        let updated = runtime.block_on(client.execute(&update, &[&name, &place.id])).context("an UPDATE")?;
        anyhow::ensure!(updated == 1, "place {} is there", place.id);
        writes.push(Write { number, place: place.id as u32, scheduled });
    }
    Ok(writes)
}

fn wait_until(instant: Instant) {
    /// How late a sleeping thread may wake up.
    const EARLY: Duration = Duration::from_micros(200);
    let left = instant.saturating_duration_since(Instant::now());
    if left > EARLY {
        std::thread::sleep(left - EARLY);
    }
    while Instant::now() < instant {
        std::hint::spin_loop();
    }
}
