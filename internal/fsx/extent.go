package fsx

// Extent is a part of a file that holds data or is a hole.
type Extent struct {
	Start, End int64
	Hole       bool
}
