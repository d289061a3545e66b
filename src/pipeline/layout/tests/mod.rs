mod fixtures;
mod partitioned;
mod plain;
