package iso

import (
	"errors"
	"fmt"
	"strings"
)

// MediaArgs are the template's arguments that name the medium to install from.
type MediaArgs struct {
	ISOURL             string   `json:"iso_url" doc:"URL or path of the installation medium: http, https, file or a plain path. Not together with iso_urls." guest:"no"`
	ISOURLs            []string `json:"iso_urls" doc:"URLs or paths of the same medium, tried in order until one works." guest:"no"`
	ISOChecksum        string   `json:"iso_checksum" doc:"Checksum of the medium: none, a bare hex digest, md5:, sha1:, sha256: or sha512: with a hex digest, or file: with the URL or path of a checksum file." guest:"no"`
	ISOChecksumType    string   `json:"iso_checksum_type" doc:"Old way to say which kind of checksum iso_checksum is: none, md5, sha1, sha256 or sha512." guest:"no"`
	ISOChecksumURL     string   `json:"iso_checksum_url" doc:"Old way to name a checksum file; the same as iso_checksum = file:URL." guest:"no"`
	ISOTargetPath      string   `json:"iso_target_path" doc:"Where to keep the downloaded medium: a file if the name has an extension, else a directory. Default: the media cache." guest:"no"`
	ISOTargetExtension string   `json:"iso_target_extension" doc:"Extension of the medium in the cache. Default: iso." guest:"no"`
}

// BoxScheme begins an iso_url that names a box of the registry instead of a medium. Such an address passes Validate;
// it must be replaced by the box's file before the medium is fetched.
const BoxScheme = "box://"

// Validate reports every argument that is missing, wrong or contradicts another.
func (a MediaArgs) Validate() []error {
	var errs []error
	if a.ISOURL != "" && len(a.ISOURLs) > 0 {
		errs = append(errs, errors.New("iso_url and iso_urls are both set: keep one of them"))
	}
	if a.ISOURL == "" && len(a.ISOURLs) == 0 {
		errs = append(errs, errors.New("iso_url is missing: set iso_url or iso_urls"))
	}
	boxes := 0
	for _, u := range a.urls() {
		if strings.HasPrefix(u, BoxScheme) {
			boxes++
			continue
		}
		if _, err := parseLocation(u, ""); err != nil {
			errs = append(errs, fmt.Errorf("iso_url: %w", err))
		}
	}
	needed := a.checksum() != "" || boxes == 0 // a registry knows the digests of its boxes
	if _, err := ParseChecksum(a.checksum()); err != nil && needed {
		errs = append(errs, fmt.Errorf("iso_checksum: %w", err))
	}
	if strings.ContainsAny(a.ISOTargetExtension, "/\\\x00") {
		errs = append(errs, fmt.Errorf("iso_target_extension %q: an extension holds no slash, for example \"iso\"", a.ISOTargetExtension))
	}
	return errs
}

// Source is the medium that the arguments name; relative paths start at cwd.
func (a MediaArgs) Source(cwd string) Source {
	return Source{
		URLs:            a.urls(),
		Checksum:        a.checksum(),
		TargetPath:      a.ISOTargetPath,
		TargetExtension: a.ISOTargetExtension,
		Cwd:             cwd,
	}
}

// checksum is iso_checksum as Packer has written it since 1.6, whichever arguments the template uses.
func (a MediaArgs) checksum() string {
	switch {
	case a.ISOChecksumType == "none":
		return "none"
	case a.ISOChecksum == "" && a.ISOChecksumURL != "":
		return "file:" + a.ISOChecksumURL
	case a.ISOChecksumType != "" && a.ISOChecksum != "" && !strings.Contains(a.ISOChecksum, ":") && a.ISOChecksum != "none":
		return a.ISOChecksumType + ":" + a.ISOChecksum
	}
	return a.ISOChecksum
}

func (a MediaArgs) urls() []string {
	if a.ISOURL != "" {
		return append([]string{a.ISOURL}, a.ISOURLs...)
	}
	return a.ISOURLs
}

// CDArgs are the template's arguments for the second CD, which carries files to the installer.
type CDArgs struct {
	Files   []string          `json:"cd_files" doc:"Files, directories and globs to put on a CD; a directory keeps its name, with a slash at its end only its content is taken." arg:"local" guest:"yes"`
	Content map[string]string `json:"cd_content" doc:"Files to put on the CD, by path on the CD; they win over cd_files." guest:"yes"`
	Label   string            `json:"cd_label" doc:"Volume label of the CD, such as cidata for cloud-init or OEMDRV for Anaconda. Default: packer." guest:"yes"`
}

// Empty reports whether no CD is wanted.
func (a CDArgs) Empty() bool { return len(a.Files) == 0 && len(a.Content) == 0 }

// Validate reports every argument that is wrong, without reading any file.
func (a CDArgs) Validate() []error {
	errs := append(checkGlobs("cd_files", a.Files), checkContent("cd_content", a.Content)...)
	if err := checkCDLabel(a.Label); err != nil {
		errs = append(errs, fmt.Errorf("cd_label: %w", err))
	}
	return errs
}

// FloppyArgs are the template's arguments for a 1.44 MB floppy, which carries files to the installer.
type FloppyArgs struct {
	Files   []string          `json:"floppy_files" doc:"Files, directories and globs to put on a floppy, all of them in its root." arg:"local" guest:"yes"`
	Dirs    []string          `json:"floppy_dirs" doc:"Directories and globs to put on the floppy with their tree." arg:"local" guest:"yes"`
	Content map[string]string `json:"floppy_content" doc:"Files to put on the floppy, by path on the floppy; they win over floppy_files and floppy_dirs." guest:"yes"`
	Label   string            `json:"floppy_label" doc:"Volume label of the floppy, at most 11 characters. Default: packer." guest:"yes"`
}

// Empty reports whether no floppy is wanted.
func (a FloppyArgs) Empty() bool {
	return len(a.Files) == 0 && len(a.Dirs) == 0 && len(a.Content) == 0
}

// Validate reports every argument that is wrong, without reading any file.
func (a FloppyArgs) Validate() []error {
	errs := append(checkGlobs("floppy_files", a.Files), checkGlobs("floppy_dirs", a.Dirs)...)
	errs = append(errs, checkContent("floppy_content", a.Content)...)
	if err := checkFloppyLabel(a.Label); err != nil {
		errs = append(errs, fmt.Errorf("floppy_label: %w", err))
	}
	return errs
}
