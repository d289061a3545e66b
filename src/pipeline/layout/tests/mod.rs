mod fixtures;
mod partitioned;
mod plain;
mod taken_over;
