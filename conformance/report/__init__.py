"""What a run found, and how it is compared, excused and written down."""
