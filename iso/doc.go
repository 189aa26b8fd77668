// Package iso brings the media that a machine is installed from.
//
// A template names a medium by one or several URLs and a checksum ([MediaArgs]). [Cache.Fetch] downloads it once,
// resuming where an earlier attempt stopped, verifies it, seals it, and hands out its path; a sealed file is neither
// downloaded nor hashed again until its size, time or inode changes. Media on this machine are read in place.
//
// A template may also list files that the installer finds on a second CD or on a floppy ([CDArgs], [FloppyArgs]).
// [CDEntries] and [FloppyEntries] turn those lists into [Entry] values, following Packer's rules for directories and
// globs, and the packages iso/volume and iso/floppy write them into an image. Package iso/seedhttp serves the same
// kind of files over HTTP instead.
package iso
