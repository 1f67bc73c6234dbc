package instant

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"path"
	"strings"
	"time"

	"github.com/gabriel-vasile/mimetype"

	"instantd/protocol"
)

// sniffed is how much of a file is looked at to tell its media type.
const sniffed = 3072

// commitTimeout bounds a send that must not end with its request, because its
// files are on disk already.
const commitTimeout = 30 * time.Second

// upload sends a message, a broadcast or an event with its files (SPEC §2.5).
// Nothing stays on disk unless the message was committed.
func (d *Dialect) upload(ctx context.Context, r request) (answer, error) {
	area, err := parseArea(r.query.Get("type"))
	if err != nil {
		return answer{}, err
	}
	in := intakeForm{dialect: d, area: area, clientID: r.clientID()}
	defer in.abort()
	if err := in.read(r.Request); err != nil {
		return answer{}, err
	}
	entries, paired, err := pair(in.draft.Entries, in.files)
	if err != nil {
		return answer{}, err
	}
	in.draft.Entries = entries
	if _, err := in.draft.send(in.draft.area(area), r.by, nil); err != nil {
		return answer{}, err // before anything is synced
	}
	if err := in.keep(paired); err != nil {
		return answer{}, err
	}
	matched := make([]file, len(paired))
	for i, j := range paired {
		if j >= 0 {
			matched[i] = in.files[j]
		}
	}
	command, err := in.draft.send(in.draft.area(area), r.by, matched)
	if err != nil {
		return answer{}, err
	}
	// A client that goes away now must not leave open whether the message and
	// its files are there.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), commitTimeout)
	defer cancel()
	done, err := protocol.Do(ctx, d.Core, command)
	if err != nil && ctx.Err() != nil {
		in.kept = nil // it may still be committed: better a stray file than a message without one
	}
	if err != nil {
		return answer{}, err
	}
	if !done.Repeated {
		in.kept = nil
	}
	return answer{Data: sent{done.ID}}, nil
}

// intakeForm is an upload on its way to disk. abort ends it in any case.
type intakeForm struct {
	dialect  *Dialect
	area     protocol.FileArea
	clientID string

	body    *tail // of a form
	open    bool  // no boundary followed the data part, but the body is whole
	told    bool  // the data part was read
	draft   draft
	files   []file
	writing []protocol.Upload // one per file, until keep
	kept    []string          // paths that abort takes away again
	size    int64
}

// abort removes everything that is not to stay.
func (in *intakeForm) abort() {
	for _, upload := range in.writing {
		upload.Abort()
	}
	if len(in.kept) > 0 {
		in.dialect.Files.Remove(in.kept...)
	}
}

// keep makes the files durable and learns their paths. paired is the file of
// each entry.
func (in *intakeForm) keep(paired []int) error {
	area, at := in.draft.area(in.area), in.dialect.now()
	for i, j := range paired {
		if j < 0 {
			continue
		}
		f := &in.files[j]
		stored, err := in.writing[j].Keep(protocol.FilePlace{
			Area: area, At: at, Extension: extension(*f),
			Kind: kinds[in.draft.Entries[i].messageType(area != protocol.AreaMessage)],
		})
		if err != nil {
			return fmt.Errorf("keep an uploaded file: %w", err)
		}
		f.Path = stored
		in.kept = append(in.kept, stored)
	}
	in.writing = nil
	return nil
}

// read takes the parts of a form as they come. A JSON body is a data part
// without files.
func (in *intakeForm) read(r *http.Request) error {
	medium, parameters, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil {
		return protocol.Errorf(protocol.Invalid, "Content-Type is neither multipart/form-data nor application/json")
	}
	if medium == "application/json" {
		return in.data(r.Body)
	}
	boundary := parameters["boundary"]
	if medium != "multipart/form-data" || boundary == "" {
		return protocol.Errorf(protocol.Invalid, "Content-Type is not multipart/form-data with a boundary")
	}
	limit := in.dialect.MaxUploadSize + 2*MaxBody // files, data and headers
	in.body = &tail{Reader: http.MaxBytesReader(nil, r.Body, limit)}
	form := multipart.NewReader(in.body, boundary)
	for !in.open {
		part, err := form.NextPart()
		if err == io.EOF || err != nil && in.body.endsWith("--"+boundary) {
			break
		}
		if err != nil {
			return bodyError(err)
		}
		if err := in.part(part); err != nil {
			return err
		}
	}
	if !in.told {
		return protocol.Errorf(protocol.Invalid, "the part data is missing")
	}
	return nil
}

// part takes one part: data, a file, or a field that nobody asked for.
func (in *intakeForm) part(part *multipart.Part) error {
	if part.FormName() == "data" {
		return in.data(part)
	}
	if part.FileName() == "" && part.FormName() != "file" {
		_, err := io.Copy(io.Discard, io.LimitReader(part, MaxBody))
		if err != nil {
			return bodyError(err)
		}
		return nil
	}
	return in.file(part)
}

func (in *intakeForm) data(r io.Reader) error {
	if in.told {
		return protocol.Errorf(protocol.Invalid, "the part data is there twice")
	}
	body, err := io.ReadAll(io.LimitReader(r, MaxBody+1))
	if errors.Is(err, io.ErrUnexpectedEOF) && in.body != nil && in.body.ended {
		in.open, err = true, nil // whether it is complete shows when it is decoded
	}
	if err != nil {
		return bodyError(err)
	}
	if len(body) > MaxBody {
		return protocol.Errorf(protocol.TooLarge, "the part data is larger than %d bytes", MaxBody)
	}
	in.draft, err = decodeDraft(body, in.clientID)
	in.told = true
	return err
}

// file streams one file to disk.
func (in *intakeForm) file(part *multipart.Part) error {
	d := in.dialect
	if len(in.files) == d.MaxFiles {
		return protocol.Errorf(protocol.TooLarge, "there are more than %d files", d.MaxFiles)
	}
	name := strings.TrimSpace(part.FileName())
	what := fmt.Sprintf("the name of file %d", len(in.files))
	if len(name) > protocol.MaxNameLength {
		return protocol.Errorf(protocol.Invalid, "%s is longer than %d bytes", what, protocol.MaxNameLength)
	}
	if err := protocol.CheckText(what, name); err != nil {
		return err
	}
	from := source{Reader: part}
	head, err := io.ReadAll(io.LimitReader(&from, sniffed))
	if err != nil {
		return bodyError(err)
	}
	f := file{Name: name, MIME: mimetype.Detect(head).String()}
	upload, err := d.Files.Create()
	if err != nil {
		return fmt.Errorf("create an uploaded file: %w", err)
	}
	in.writing = append(in.writing, upload)
	room := min(d.MaxFileSize, d.MaxUploadSize-in.size)
	f.Size, err = io.Copy(upload, io.LimitReader(io.MultiReader(bytes.NewReader(head), &from), room+1))
	if from.err != nil {
		return bodyError(from.err)
	}
	if err != nil {
		return fmt.Errorf("write an uploaded file: %w", err)
	}
	if f.Size > room {
		return protocol.Errorf(protocol.TooLarge, "file %d is too large: at most %d bytes, and %d together", len(in.files), d.MaxFileSize, d.MaxUploadSize)
	}
	in.size += f.Size
	in.files = append(in.files, f)
	return nil
}

// extension is that of the name, or else the usual one of the medium.
func extension(f file) string {
	if ext := path.Ext(f.Name); ext != "" {
		return ext
	}
	if medium := mimetype.Lookup(f.MIME); medium != nil {
		return medium.Extension()
	}
	return ""
}

// source remembers why a read failed, to tell an upload that was cut off from
// a disk that failed.
type source struct {
	io.Reader
	err error
}

func (s *source) Read(p []byte) (int, error) {
	n, err := s.Reader.Read(p)
	if err != nil && err != io.EOF {
		s.err = err
	}
	return n, err
}

// tail remembers the end of what was read, to tell a form that lacks only its
// final boundary from one that was cut off.
type tail struct {
	io.Reader
	last  []byte
	ended bool // the body ended as its sender meant it to
}

const tailSize = 256

func (t *tail) Read(p []byte) (int, error) {
	n, err := t.Reader.Read(p)
	t.last = append(t.last, p[max(0, n-tailSize):n]...)
	t.last = t.last[max(0, len(t.last)-tailSize):]
	t.ended = err == io.EOF
	return n, err
}

// endsWith tells whether the whole body was read and ended in text and blanks.
func (t *tail) endsWith(text string) bool {
	return t.ended && bytes.HasSuffix(bytes.TrimRight(t.last, " \t\r\n"), []byte(text))
}
