//! How much memory is used: what was said, or a part of what there is.

use std::path::Path;

use serde::{Deserialize, Deserializer};

use super::size::Size;

/// The part of the memory that is used where nobody says how much. A quarter: the machine is there for the programs that
/// read, and the kernel's page cache keeps what they have read.
const PART: u64 = 4;
/// The most that is used by itself: 64 requests of 4 MiB under way four times over, beyond which nothing gets faster.
const MOST: u64 = 1 << 30;
/// The least, of which 24 MiB are given out: two chunks of the largest size that HSDS makes by itself (4 MiB), each as it
/// comes, inflated and put in order, so that one is read while another comes.
const LEAST: u64 = 32 << 20;

/// The limit of a mount, in bytes.
pub fn limit(said: Option<Size>) -> u64 {
    said.map_or_else(|| by_itself(there_is()), |Size(bytes)| bytes)
}

/// A limit as people write it.
///
/// # Errors
/// What is no size, and less than the least.
pub fn said(text: &str) -> Result<Size, String> {
    enough(text.parse()?)
}

/// A limit in a file of settings.
pub fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Size>, D::Error> {
    let size = Size::deserialize(deserializer)?;
    enough(size).map(Some).map_err(serde::de::Error::custom)
}

fn enough(size: Size) -> Result<Size, String> {
    match size {
        Size(LEAST..) => Ok(size),
        Size(_) => Err(format!(
            "less than {}M, without which not even two chunks of 4 MiB fit; leave it out for a quarter of the memory",
            LEAST >> 20
        )),
    }
}

fn by_itself(there_is: Option<u64>) -> u64 {
    there_is.map_or(MOST, |bytes| (bytes / PART).clamp(LEAST, MOST))
}

/// Memory of this machine, or of the control group that this process is in, in bytes.
fn there_is() -> Option<u64> {
    let read = |path: &Path| std::fs::read_to_string(path).ok();
    let machine = read(Path::new("/proc/meminfo")).as_deref().and_then(of_meminfo);
    let group = read(Path::new("/proc/self/cgroup")).and_then(|groups| of_groups(&groups, read));
    machine.into_iter().chain(group).min()
}

fn of_meminfo(text: &str) -> Option<u64> {
    let total = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = total.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1 << 10)
}

/// The least limit of a control group and those around it, version 2 of the interface or 1.
fn of_groups(groups: &str, read: impl Fn(&Path) -> Option<String>) -> Option<u64> {
    let mut limits = Vec::new();
    for line in groups.lines() {
        let mut parts = line.splitn(3, ':');
        let (Some(_), Some(controllers), Some(path)) = (parts.next(), parts.next(), parts.next()) else { continue };
        let (top, file) = match controllers {
            "" => ("/sys/fs/cgroup", "memory.max"),
            _ if controllers.split(',').any(|name| name == "memory") => {
                ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")
            }
            _ => continue,
        };
        for folder in Path::new(path).ancestors() {
            let below = folder.strip_prefix("/").unwrap_or(folder);
            let limit = read(&Path::new(top).join(below).join(file));
            // "max", and in the old interface a number near 2^63, is none.
            limits.extend(limit.and_then(|limit| limit.trim().parse::<u64>().ok()));
        }
    }
    limits.into_iter().min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_a_quarter_within_bounds() {
        assert_eq!(by_itself(Some(2 << 30)), 512 << 20);
        assert_eq!(by_itself(Some(64 << 30)), 1 << 30);
        assert_eq!(by_itself(Some(64 << 20)), 32 << 20);
        assert_eq!(by_itself(None), 1 << 30);
        assert_eq!(limit(Some(Size(48 << 20))), 48 << 20);
    }

    #[test]
    fn less_than_the_least_is_refused() {
        assert_eq!(
            (said("32M"), said("32MiB"), said("1G")),
            (Ok(Size(32 << 20)), Ok(Size(32 << 20)), Ok(Size(1 << 30)))
        );
        for less in ["0", "1", "31M", "32MB"] {
            assert!(said(less).unwrap_err().contains("less than 32M"), "{less}");
        }
        assert!(said("much").unwrap_err().contains("not a number of bytes"));
    }

    #[test]
    fn the_tightest_group_around_us_counts() {
        let read = |path: &Path| {
            let text = match path.to_str()? {
                "/sys/fs/cgroup/user/job/memory.max" => "max\n",
                "/sys/fs/cgroup/user/memory.max" => "1073741824\n",
                "/sys/fs/cgroup/memory/old/memory.limit_in_bytes" => "9223372036854771712\n",
                _ => return None,
            };
            Some(text.to_owned())
        };
        assert_eq!(of_groups("0::/user/job\n", read), Some(1 << 30));
        assert_eq!(of_groups("5:cpu:/x\n3:memory,hugetlb:/old\n", read), Some(9_223_372_036_854_771_712));
        assert_eq!(of_groups("0::/\n", read), None);
        assert_eq!(of_meminfo("MemFree: 1 kB\nMemTotal:       24 kB\n"), Some(24 << 10));
    }
}
