use std::cell::Cell;
use std::io::IsTerminal as _;
use std::time::Instant;

/// Prints one line per step, with the time the step before it took.
pub struct Progress {
    begun: Instant,
    step: Cell<Option<Instant>>,
}

impl Progress {
    /// Starts counting now.
    pub fn new() -> Self {
        Self { begun: Instant::now(), step: Cell::new(None) }
    }

    /// Announces the next step.
    pub fn step(&self, what: &str) {
        self.finish_step();
        self.step.set(Some(Instant::now()));
        eprint!("  {what} …");
    }

    /// Ends the last step and returns the seconds since the beginning.
    pub fn done(&self) -> f64 {
        self.finish_step();
        self.begun.elapsed().as_secs_f64()
    }

    fn finish_step(&self) {
        if let Some(begun) = self.step.take() {
            eprintln!(" {}", dim(&format!("{:.1} s", begun.elapsed().as_secs_f64())));
        }
    }
}

/// `text` in a quieter colour, on a terminal only.
pub fn dim(text: &str) -> String {
    paint(text, "2")
}

/// `text` in bold, on a terminal only.
pub fn bold(text: &str) -> String {
    paint(text, "1")
}

fn paint(text: &str, code: &str) -> String {
    let plain = !std::io::stdout().is_terminal() || std::env::var_os("NO_COLOR").is_some();
    if plain { text.to_owned() } else { format!("\x1b[{code}m{text}\x1b[0m") }
}
