mod fixtures;
mod plain;
