"""What is kept in the database: tables, their versions, and how rows are leased and versioned."""
