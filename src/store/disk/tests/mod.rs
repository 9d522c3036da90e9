mod head;
mod held;
mod journal;
mod upgrade;
