mod head;
mod held;
mod journal;
mod runs;
mod upgrade;
