package hypervisor

import "context"

// Uploader is the ability of a Machine to tell what belongs into its guest after the first login, before anything is
// provisioned: the hypervisor's version, its guest tools. The build sends them through the communicator.
type Uploader interface {
	Uploads(ctx context.Context) ([]Upload, error)
}

// Upload is a file for the guest. Text is its content, or else the file at Path, which is absolute on this host.
type Upload struct {
	What string // as logs name it: "the version of VirtualBox"
	To   string // path in the guest; a relative one starts at the home directory of the user who logged in
	Text string
	Path string
}

// Fetcher is the ability of a Driver to name what must be on this host before a machine of spec can be made, beside its
// media and its Source: an image of guest tools, mostly. The build fetches it, tells the paths in Spec.Fetched, and calls
// Create or Thaw then. What lies on this host already is named too, so that a missing file is found before a machine exists.
type Fetcher interface {
	Fetches(ctx context.Context, spec Spec) ([]Fetch, error)
}

// Fetch is a file to have on this host.
type Fetch struct {
	Name     string // key in Spec.Fetched, and what logs call it
	URL      string // http, https, file, or a path
	Checksum string // in the forms of iso_checksum; "none" for one that nobody knows
}
