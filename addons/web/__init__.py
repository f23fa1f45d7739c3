"""What fediward answers itself over HTTP: the origin, validation; everything else is a door's."""
