//! How fast chunks are decoded on one core: MB/s of plain bytes, beside what else could decode them.
//!
//!     cargo run --release --example codec_speed [NAME]      only the rows whose name holds NAME
//!
//! The chunks are those of the benchmark's stores: 1 MiB of float32 as instruments give them, smooth, with noise, to two
//! decimals. Time is that of the processor, so that what else runs on the machine counts for little; of several runs the
//! fastest is shown. docs/decisions/008-inflate.md has a table of results.

use std::error::Error;
use std::ffi::{CStr, c_int};
use std::hint::black_box;

use bytes::Bytes;
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress};
use h5mount::codec::{decode, deflate, encode, shuffle};
use h5mount::model::pipeline::{Decode, Filter, Pipeline};

/// Plain bytes of a chunk.
const PLAIN: usize = 1 << 20;
/// Different chunks, so that no branch predictor learns one by heart.
const CHUNKS: usize = 16;
/// Runs of each row, and the shortest time of one: a hundred ticks, at which the system counts a thread's time.
const RUNS: usize = 5;
const RUN_SECONDS: f64 = 0.4;
/// Shuffle as c-blosc numbers it.
const SHUFFLE: c_int = 1;

type Failure = Box<dyn Error>;

fn main() -> Result<(), Failure> {
    let only = std::env::args().nth(1).unwrap_or_default();
    println!("{:<34} {:<22} {:>9} {:>7}", "chunk", "decoded by", "MB/s", "ratio");
    let plain: Vec<Bytes> = (0..CHUNKS).map(|seed| weather(seed as u64)).collect();
    let element = 4;
    for level in [4, 6] {
        let stored: Vec<Bytes> = plain.iter().map(|plain| zlib(&shuffle::encode(plain, element), level)).collect();
        let name = format!("shuffle, deflate {level}");
        let steps = [Decode::Deflate, Decode::Unshuffle { element }];
        row(&only, &name, "here", &stored, |stored| by_pipeline(&steps, stored))?;
        row(&only, &name, "zlib-rs and unshuffle", &stored, |stored| {
            Ok(shuffle::decode(&by_zlib_rs(stored)?, element).into())
        })?;
        row(&only, &format!("{name}, inflate alone"), "libdeflate", &stored, |stored| {
            Ok(deflate::decode_likely(stored, PLAIN as u64, PLAIN as u64)?.into())
        })?;
        row(&only, &format!("{name}, inflate alone"), "zlib-rs", &stored, |stored| Ok(by_zlib_rs(stored)?.into()))?;
    }
    let frame = [Decode::BloscOrDeflate { unshuffle: None }];
    for (codec, filter, element, name) in [
        (c"zlib", 0, 1, "blosc, zlib, no shuffle (HSDS 0.9)"),
        (c"zlib", SHUFFLE, 4, "blosc, zlib, shuffle"),
        (c"lz4", SHUFFLE, 4, "blosc, lz4, shuffle"),
        (c"zstd", SHUFFLE, 4, "blosc, zstd, shuffle"),
    ] {
        let stored: Vec<Bytes> = plain.iter().map(|plain| blosc_frame(plain, codec, filter, element)).collect();
        row(&only, name, "here", &stored, |stored| by_pipeline(&frame, stored))?;
        row(&only, name, "c-blosc", &stored, by_c_blosc)?;
    }
    for element in [2, 4, 8, 16, 12] {
        let stored: Vec<Bytes> = plain.iter().map(|plain| shuffle::encode(plain, element).into()).collect();
        let steps = [Decode::Unshuffle { element }];
        row(&only, &format!("shuffle, elements of {element}"), "here", &stored, |stored| by_pipeline(&steps, stored))?;
    }
    let summed = plain.iter().map(|plain| encode(&[Filter::Fletcher32], element, plain.clone()));
    let summed: Vec<Bytes> = summed.collect::<Result<_, _>>()?;
    row(&only, "fletcher32", "here", &summed, |stored| by_pipeline(&[Decode::Fletcher32], stored))
}

/// Decodes `stored` chunks again and again and prints how fast that was.
fn row(
    only: &str,
    name: &str,
    by: &str,
    stored: &[Bytes],
    decode: impl Fn(&Bytes) -> Result<Bytes, Failure>,
) -> Result<(), Failure> {
    if !name.contains(only) {
        return Ok(());
    }
    let mut best = f64::MAX;
    for _ in 0..RUNS {
        let (start, mut bytes, mut seconds) = (processor_seconds()?, 0, 0.0);
        while seconds < RUN_SECONDS {
            for stored in stored {
                let plain = black_box(decode(black_box(stored))?);
                if plain.len() != PLAIN {
                    return Err(format!("{name}: {} bytes came out", plain.len()).into());
                }
                bytes += plain.len();
            }
            seconds = processor_seconds()? - start;
        }
        best = f64::min(best, seconds / bytes as f64);
    }
    let packed: usize = stored.iter().map(Bytes::len).sum();
    let ratio = (stored.len() * PLAIN) as f64 / packed as f64;
    println!("{name:<34} {by:<22} {:>9.0} {ratio:>7.2}", 1e-6 / best);
    Ok(())
}

/// Seconds that this thread has run.
fn processor_seconds() -> Result<f64, Failure> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    let nanoseconds: f64 = text.split_whitespace().next().ok_or("an empty schedstat")?.parse()?;
    Ok(nanoseconds / 1e9)
}

/// A chunk of float32: a slow wave and noise, to two decimals.
fn weather(seed: u64) -> Bytes {
    let mut random = fastrand::Rng::with_seed(seed);
    let values = (0..PLAIN / 4).flat_map(|at| {
        let wave = 15.0 + 10.0 * (at as f32 / 700.0 + seed as f32 / 30.0).sin();
        // Twelve equal distributions are close to a normal one of the same spread.
        let noise: f32 = (0..12).map(|_| random.f32()).sum::<f32>() - 6.0;
        (((wave + noise / 2.0) * 100.0).round() / 100.0).to_le_bytes()
    });
    values.collect::<Vec<u8>>().into()
}

fn zlib(plain: &[u8], level: u32) -> Bytes {
    let mut stored = Vec::with_capacity(plain.len() + 1024);
    let mut stream = Compress::new(Compression::new(level), true);
    stream.compress_vec(plain, &mut stored, FlushCompress::Finish).expect("a stream that has room");
    stored.into()
}

fn by_pipeline(steps: &[Decode], stored: &Bytes) -> Result<Bytes, Failure> {
    let pipeline = Pipeline { steps: steps.to_vec() };
    Ok(decode(&pipeline, stored.clone(), Some(PLAIN as u64), PLAIN as u64)?)
}

fn by_zlib_rs(stored: &[u8]) -> Result<Vec<u8>, Failure> {
    let mut plain = Vec::with_capacity(PLAIN + 1);
    Decompress::new(true).decompress_vec(stored, &mut plain, FlushDecompress::Finish)?;
    Ok(plain)
}

#[allow(unsafe_code)] // the C codec, which the program does not use for writing
fn blosc_frame(plain: &[u8], codec: &CStr, filter: c_int, element: usize) -> Bytes {
    let mut frame = vec![0u8; plain.len() + 16];
    let (from, to, room) = (plain.as_ptr().cast(), frame.as_mut_ptr().cast(), frame.len());
    // SAFETY: both pointers are valid for the lengths given with them, the name ends with a zero byte, and none is kept.
    let made =
        unsafe { blosc::blosc_compress_ctx(4, filter, element, plain.len(), from, to, room, codec.as_ptr(), 0, 1) };
    frame.truncate(made.max(0) as usize);
    frame.into()
}

#[allow(unsafe_code)] // the C codec, as it would be used for all frames
fn by_c_blosc(frame: &Bytes) -> Result<Bytes, Failure> {
    let mut plain = vec![0u8; PLAIN];
    // SAFETY: the frame was made by c-blosc just before; no more than the length of `plain` is written, and neither
    // pointer is kept.
    let made = unsafe { blosc::blosc_decompress_ctx(frame.as_ptr().cast(), plain.as_mut_ptr().cast(), plain.len(), 1) };
    if made == PLAIN as c_int { Ok(plain.into()) } else { Err(format!("c-blosc: {made}").into()) }
}
