//! The memory that this process takes.

/// The most resident memory that this process has held so far, in bytes, as Linux counts it; 0 elsewhere.
pub fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    peak_of(&status).unwrap_or(0)
}

/// The line `VmHWM:     1234 kB`.
fn peak_of(status: &str) -> Option<u64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim_end().parse().ok()?;
    kilobytes.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peak_is_a_line_of_the_status() {
        let status = "Name:\tcreamery\nVmHWM:\t  123456 kB\nVmRSS:\t  1 kB\n";
        assert_eq!(peak_of(status), Some(123_456 * 1024));
        for status in [
            "",
            "VmHWM:\t many kB",
            "VmHWM:\t 18446744073709551615 kB",
            "VmHWM: 5",
        ] {
            assert_eq!(peak_of(status), None);
        }
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn this_process_has_held_some() {
        assert!(peak_memory() > 100_000);
    }
}
