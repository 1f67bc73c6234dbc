package instant

import (
	"errors"
	"io"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strings"

	"github.com/julienschmidt/httprouter"

	"instantd/protocol"
)

// shown are the media that a browser may render. Everything else, and above
// all HTML, SVG and scripts, is plain bytes (SPEC §2.6).
var shown = map[string]string{
	".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".png": "image/png", ".gif": "image/gif", ".bmp": "image/bmp", ".webp": "image/webp",
	".mp3": "audio/mpeg", ".wav": "audio/wav", ".m4a": "audio/mp4", ".aac": "audio/aac", ".ogg": "audio/ogg",
	".flac": "audio/flac", ".opus": "audio/ogg", ".amr": "audio/amr",
	".mp4": "video/mp4", ".webm": "video/webm", ".mov": "video/quicktime", ".3gp": "video/3gpp",
	".pdf": "application/pdf", ".txt": "text/plain; charset=utf-8", ".log": "text/plain; charset=utf-8",
}

// safeType is the media type under which a file is served.
func safeType(name string) string {
	if medium, ok := shown[strings.ToLower(path.Ext(name))]; ok {
		return medium
	}
	return "application/octet-stream"
}

// download serves a kept file to anybody who knows its name, as the document
// has it: names are random and never listed.
func (d *Dialect) download(w http.ResponseWriter, r *http.Request, _ httprouter.Params) {
	name := strings.TrimPrefix(r.URL.Path, "/")
	if !fs.ValidPath(name) {
		d.refuse(w, r, fileNotFound())
		return
	}
	opened, err := d.Files.Open(name)
	if err != nil {
		d.refuse(w, r, openError(err))
		return
	}
	defer opened.Close()
	info, err := opened.Stat()
	if err != nil {
		d.refuse(w, r, err)
		return
	}
	content, ok := opened.(io.ReadSeeker)
	if !ok || !info.Mode().IsRegular() {
		d.refuse(w, r, fileNotFound())
		return
	}
	h := w.Header()
	h.Set("Content-Type", safeType(name))
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", "sandbox")
	h.Set("Cache-Control", "private, max-age=31536000, immutable")
	if query := r.URL.Query(); query.Has("name") {
		h.Set("Content-Disposition", attachment(query.Get("name"), path.Base(name)))
	}
	http.ServeContent(w, r, "", info.ModTime(), content)
}

func fileNotFound() error { return protocol.Errorf(protocol.NotFound, "no such file") }

func openError(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return fileNotFound()
	}
	return err
}

// attachment asks the browser to save a file under a name. Folders, control
// characters and an excess of length are taken out of it.
func attachment(name, fallback string) string {
	name = path.Base(strings.ReplaceAll(strings.ToValidUTF8(name, "_"), `\`, "/"))
	name = strings.Map(func(r rune) rune {
		if r < 0x20 || r == 0x7f || r >= 0x80 && r < 0xa0 || r == '/' {
			return -1
		}
		return r
	}, name)
	if len(name) > 200 {
		name = strings.ToValidUTF8(name[:200], "")
	}
	if name == "" || name == "." || name == ".." {
		name = fallback
	}
	return mime.FormatMediaType("attachment", map[string]string{"filename": name})
}
