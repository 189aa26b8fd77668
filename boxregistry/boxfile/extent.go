package boxfile

// extent is a part of a file that holds data or is a hole.
type extent struct {
	start, end int64
	hole       bool
}
