"""Pure deciders, one file each: what the keeper would like to do about accounts at risk."""
