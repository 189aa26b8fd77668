package wire

import "time"

// BoxSummary is one line in a list of boxes.
type BoxSummary struct {
	Name             string    `json:"name"` // org/box
	ShortDescription string    `json:"short_description"`
	Private          bool      `json:"private"`
	Newest           string    `json:"newest,omitempty"` // version of the stable channel
	Providers        []string  `json:"providers"`        // of the newest version
	Architectures    []string  `json:"architectures"`    // likewise
	Size             int64     `json:"size"`             // of the newest version's files, bytes
	Stored           int64     `json:"stored"`           // of all files that are stored here, bytes
	Downloads        int64     `json:"downloads"`
	Created          time.Time `json:"created"`
	Updated          time.Time `json:"updated"`
}

// BoxList is a page of boxes.
type BoxList struct {
	Boxes []BoxSummary `json:"boxes"`
	Total int          `json:"total"` // without the page's limits
}

// Box is a box with all its versions, highest first.
type Box struct {
	Name             string       `json:"name"`
	ShortDescription string       `json:"short_description"`
	Description      string       `json:"description"` // Markdown
	Private          bool         `json:"private"`
	Created          time.Time    `json:"created"`
	Updated          time.Time    `json:"updated"`
	Downloads        int64        `json:"downloads"`
	Retention        Retention    `json:"retention"`
	Deleted          time.Time    `json:"deleted,omitzero"` // in the trash since
	Versions         []BoxVersion `json:"versions"`
}

// BoxVersion is one version of a box.
type BoxVersion struct {
	Version     string    `json:"version"`
	State       string    `json:"state"`       // draft, released or revoked
	Description string    `json:"description"` // Markdown
	Created     time.Time `json:"created"`
	Updated     time.Time `json:"updated"`
	Released    time.Time `json:"released,omitzero"`
	Revoked     time.Time `json:"revoked,omitzero"`
	RevokedWhy  string    `json:"revoked_why,omitempty"`
	Channels    []string  `json:"channels"`
	Pinned      bool      `json:"pinned"`
	Deleted     time.Time `json:"deleted,omitzero"` // in the trash since
	Downloads   int64     `json:"downloads"`
	LastUsed    time.Time `json:"last_used,omitzero"`
	Files       []BoxFile `json:"files"`
}

// BoxFile is the file of a provider and an architecture.
type BoxFile struct {
	Provider     string    `json:"provider"`
	Architecture string    `json:"architecture"`
	Default      bool      `json:"default"` // for clients that ask for no architecture
	SHA256       string    `json:"sha256,omitempty"`
	URL          string    `json:"url,omitempty"` // where it is, when it is not here
	Size         int64     `json:"size"`          // bytes
	UnpackedSize int64     `json:"unpacked_size,omitempty"`
	VirtualSize  int64     `json:"virtual_size,omitempty"`
	Created      time.Time `json:"created"`
	Published    time.Time `json:"published,omitzero"` // when the bytes came
}

// BoxEdit changes a box, or makes one. What is absent stays as it is.
type BoxEdit struct {
	Name             *string `json:"name,omitempty"`
	ShortDescription *string `json:"short_description,omitempty"`
	Description      *string `json:"description,omitempty"`
	Private          *bool   `json:"private,omitempty"`
}

// VersionEdit changes a version in any state. What is absent stays as it is.
type VersionEdit struct {
	Description *string `json:"description,omitempty"`
	Pinned      *bool   `json:"pinned,omitempty"`
}

// Retention says which versions stay when new ones come. With no rule all do.
type Retention struct {
	KeepLast  int   `json:"keep_last"`  // the highest ones; 0 for no such rule
	KeepNewer int64 `json:"keep_newer"` // seconds since the release; 0 for no such rule
}

// RetentionReply tells the rules of a box, or those that were asked about, and what they would delete now.
type RetentionReply struct {
	Retention Retention `json:"retention"`
	Expired   []string  `json:"expired"` // versions, highest first
}

// ReleaseRequest opens a draft to channels.
type ReleaseRequest struct {
	Channels []string `json:"channels,omitempty"` // the stable one when there is none
}

// RevokeRequest hides a released version for good.
type RevokeRequest struct {
	Why string `json:"why,omitempty"`
}

// BoxDownload is how often a client fetched a file.
type BoxDownload struct {
	Provider     string    `json:"provider"`
	Architecture string    `json:"architecture"`
	Client       string    `json:"client"` // a user, a token or an address
	Count        int64     `json:"count"`
	At           time.Time `json:"at"` // of the last time
}

// BoxDownloadList tells who fetched a version, last one first.
type BoxDownloadList struct {
	Downloads []BoxDownload `json:"downloads"`
}

// TrashList is the deleted boxes that can be restored, newest first.
type TrashList struct {
	Boxes []Box `json:"boxes"`
}

// UploadRequest announces a box file. Box and version are made, with the descriptions, when it is published and they are
// missing.
type UploadRequest struct {
	Box                string `json:"box"`
	Version            string `json:"version"`
	Provider           string `json:"provider"`
	Architecture       string `json:"architecture"`
	Default            bool   `json:"default,omitempty"`
	Size               int64  `json:"size"` // bytes
	SHA256             string `json:"sha256"`
	Replace            bool   `json:"replace,omitempty"` // another file of a draft
	Private            bool   `json:"private,omitempty"` // a new box
	Description        string `json:"description,omitempty"`
	VersionDescription string `json:"version_description,omitempty"`
}

// Upload is an upload that can be resumed.
type Upload struct {
	ID      string    `json:"id,omitempty"` // absent when there is nothing to send
	Offset  int64     `json:"offset"`       // where the next chunk begins
	Size    int64     `json:"size"`
	Done    bool      `json:"done"`             // the file is published
	Expires time.Time `json:"expires,omitzero"` // unless another chunk comes before
}

// OffsetHeader says in a request where its chunk begins, and in an answer where the next one does.
const OffsetHeader = "Upload-Offset"
