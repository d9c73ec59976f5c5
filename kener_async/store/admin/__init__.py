"""Operations on a whole database: backup, restore, verification, export, import."""
