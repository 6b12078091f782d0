"""Rules on channels, and where the alerts that they publish are delivered."""
