"""What the quality gate measures and shows: conditions of rows, facts of whole tables, the report page."""
