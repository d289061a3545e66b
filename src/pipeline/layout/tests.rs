mod fixtures;
mod partitioned;
mod passthrough;
mod plain;
