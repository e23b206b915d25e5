"""The state machine behind the panel, which a script can drive as well.

Everything happens in the methods called here: there are no threads, and no callbacks from Slicer
but for points that are placed and the beginning and the end of a drag. `poll` looks at the scene
and at the engine; a panel calls it from a timer, about twenty times a second, and besides as soon
as it is told that something was `Placed` or `has_news` says so.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any

from segvol_core.errors import PromptError
from segvol_core.organs import Organ, parse_names
from segvol_core.packages.job import PackageJob
from segvol_core.prompts import Prompts, place
from SegVolLogic.announcements import Announcements
from SegVolLogic.engine import Engine, EngineUpdate
from SegVolLogic.errors import SceneError
from SegVolLogic.events import Listener, StateChanged
from SegVolLogic.history import Step
from SegVolLogic.installation import Installation
from SegVolLogic.organ_texts import organ_of, with_text
from SegVolLogic.picture import Circumstances, picture_of
from SegVolLogic.prompt_changes import what_changed
from SegVolLogic.prompt_display import PromptDisplay
from SegVolLogic.prompt_nodes import PromptNodes
from SegVolLogic.requests import Requests
from SegVolLogic.results import Results
from SegVolLogic.states import ControllerState, Options
from SegVolLogic.volume_watch import VolumeNews, VolumeWatch
from SegVolLogic.words import tr as _
from SegVolLogic.workbench import Workbench


class SegVolController:
    """Volume, segments, prompts, engine: what is chosen, what is asked, and what comes back.

    Nothing here blocks longer than 20 ms, apart from what writes voxels: a result arriving in
    `poll`, `undo`, `redo`, `clear` and `remove_segment` take up to 0.3 s in a large volume. While
    surfaces are shown, a later `poll` has Slicer make one again, which takes as long.

    Parameters
    ----------
    scene
        The MRML scene.
    engine
        What computes masks; see `start_engine`.
    listener
        Told of every event.
    options
        How results are made; may be exchanged at any time by assigning `options`.
    """

    def __init__(
        self,
        scene: Any,
        engine: Engine,
        *,
        listener: Listener | None = None,
        options: Options | None = None,
    ) -> None:
        self.options = options or Options()
        self._scene = scene
        self._announcements = Announcements(listener)
        self._requests = Requests(engine)
        self._bench = Workbench(scene)
        self._chosen = self._bench.chosen
        self._watch = VolumeWatch()
        self._display = PromptDisplay(scene, self._bench, self._announcements)
        self._results = Results(self._requests, self._bench, self._announcements)
        self._installation = Installation(self._announcements)
        self._arrived: deque[EngineUpdate] = deque()
        self._then_start = False
        self._closed = False
        self._state = self._picture()

    # What is shown

    @property
    def state(self) -> ControllerState:
        """The picture of everything, as of the last call."""
        return self._state

    @property
    def busy(self) -> bool:
        """Whether there is something for `poll` to do, though nobody places prompts."""
        unfinished = self._arrived or not self._bench.surfaces_up_to_date
        return bool(self._state.running or unfinished)

    @property
    def prompt_nodes(self) -> PromptNodes:
        """The markups to place prompts in; added to the scene when first asked for."""
        return self._display.nodes()

    @property
    def prompt_nodes_there(self) -> PromptNodes:
        """The markups that are in the scene by now; each may be missing."""
        return self._display.there

    def points_node(self, *, positive: bool) -> Any:
        """The markups to place positive or negative points in; the others follow in `poll`."""
        return self._display.points(positive=positive)

    # Choosing

    def choose_volume(self, node: Any) -> None:
        """Work on this volume; what was being computed on another one is forgotten.

        A volume that cannot be segmented is chosen all the same, and the state says what is wrong.
        """
        if node is self._watch.node:
            return
        self._results.forget_all()
        self._announcements.complaint = ""
        self._watch.choose(node)
        self._use_volume()
        self._say_if_it_does_not_fit()
        self._changed()

    def choose_segmentation(self, node: Any) -> None:
        """Write into this segmentation; None for a new one with the first prompt.

        Raises
        ------
        SceneError
            If SegVol cannot write into it; the one before stays chosen then.
        """
        if node is not self._chosen.segmentation_node:
            self._results.forget_all()
            self._bench.choose_segmentation(node)
            self._display.show()
            self._say_if_it_does_not_fit()
        self._changed()

    def choose_segment(self, segment_id: str | None) -> None:
        """Let prompts go to this segment, and show those that it has; None for a new segment.

        Raises
        ------
        SceneError
            If there is no such segment, or its prompts cannot be read.
        """
        if segment_id is not None and not self._chosen.segment_exists(segment_id):
            raise SceneError(_("That segment is not there any more."))
        self._chosen.segment_id = segment_id
        self._display.show()
        self._changed()

    # Prompts

    def set_text(self, text: str) -> None:
        """Say by name what the segment is, in place of an earlier name; empty to take that back.

        Raises
        ------
        OrganError
            If the name is not known; its `suggestions` are names that are. Text in double quotes
            is taken as it is.
        SegVolError
            If there is nowhere to write.
        """
        (organ,) = parse_names(text) if text.strip() else (None,)
        before = self._chosen.prompts()
        after = with_text(before, None if organ is None else organ.name)
        self._commit(before, after, organ)

    def segment_names(self, text: str) -> tuple[str, ...]:
        """Compute a segment for each name of a list such as `liver, spleen`, all at once.

        Returns
        -------
        IDs of the segments.

        Raises
        ------
        OrganError
            As :meth:`set_text`, for every name that is not known; nothing has happened then.
        SegVolError
            If there is nowhere to write.
        """
        organs = parse_names(text)
        self._watch.needed()
        wanted = self._bench.add_organs(organs)
        self._display.show()
        self._ask(wanted)
        self._changed()
        return tuple(wanted)

    def set_prompts(self, prompts: Prompts | None) -> str:
        """Make these the prompts of the segment, and show them, as if they had been clicked.

        Returns
        -------
        ID of the segment.

        Raises
        ------
        PromptError
            If a point or the box is outside the volume.
        SegVolError
            If there is nowhere to write.
        """
        if prompts is not None:
            place(prompts, self._watch.needed().canonical())
        organ = None if prompts is None or prompts.text is None else organ_of(prompts.text)
        return self._commit(self._chosen.prompts(), prompts, organ)

    def name_segment(self, name: str) -> None:
        """Call the segment by a name, that of an organ with its colour, and compute nothing.

        Raises
        ------
        SceneError
            If there is no segment.
        """
        self._bench.name_segment(organ_of(name))
        self._changed()

    # Computing

    def run(self) -> None:
        """Compute the segment from its prompts.

        Raises
        ------
        SegVolError
            If there are no prompts, or nowhere to write.
        """
        self._look_at_markups()
        prompts = self._chosen.prompts()
        if prompts is None or self._chosen.segment_id is None:
            raise PromptError(_("There is no prompt yet: click, draw a box, or type a name."))
        self._watch.needed()
        self._ask({self._chosen.segment_id: prompts})
        self._changed()

    def cancel(self) -> None:
        """Compute nothing of what is being computed; or end an installation."""
        self._installation.cancel()
        self._results.forget_all()
        self._changed()

    # Steps

    def undo(self) -> None:
        """Take the last step back: prompts and voxels together.

        Raises
        ------
        SceneError
            If the segmentation cannot be written into.
        """
        self._after_step(self._bench.undo())

    def redo(self) -> None:
        """Do the step again that was taken back last.

        Raises
        ------
        SceneError
            If the segmentation cannot be written into.
        """
        self._after_step(self._bench.redo())

    def clear(self) -> None:
        """Take prompts and voxels from the segment.

        Raises
        ------
        SceneError
            If there is no segment, or it cannot be written into.
        """
        self._requests.forget(self._chosen.segment_id or "")
        self._bench.clear()
        self._display.show()
        self._changed()

    def next_segment(self) -> str:
        """Let prompts go to a new segment; results of earlier ones still arrive.

        Returns
        -------
        Its ID.

        Raises
        ------
        SegVolError
            If there is nowhere to write.
        """
        self._look_at_markups()
        self._watch.needed()
        segment_id = self._bench.next_segment()
        self._display.show()
        self._changed()
        return segment_id

    def remove_segment(self, segment_id: str) -> None:
        """Remove a segment with its prompts.

        Raises
        ------
        SceneError
            If there is no such segment.
        """
        if not self._chosen.segment_exists(segment_id):
            raise SceneError(_("That segment is not there any more."))
        self._results.forget(segment_id)
        self._bench.remove_segment(segment_id)
        self._display.show()
        self._changed()

    # The engine

    def start_engine(self) -> None:
        """Start the inference process, or connect to the server, again if it failed."""
        self._requests.engine.start()
        self._changed()

    def stop_engine(self) -> None:
        """End the inference process; nothing in the scene is lost."""
        self._results.forget_all()
        self._arrived.clear()
        self._requests.engine.stop()
        self._requests.uploading = False
        self._changed()

    def use_engine(self, engine: Engine) -> None:
        """Compute somewhere else, or with other weights: what is under way begins anew there."""
        self._arrived.clear()
        self._requests.use_engine(engine)
        self._changed()

    def install(self, job: PackageJob, *, then_start: bool = True) -> None:
        """Follow an operation on the inference process's packages: installing, repairing, removing.

        The process must not be running: stop it first.

        Parameters
        ----------
        job
            The operation, under way.
        then_start
            Whether to start the process when it has ended well.
        """
        self._installation.follow(job)
        self._then_start = then_start
        self._changed()

    # Time passing

    def has_news(self) -> bool:
        """Whether what is waited for has come further, so that `poll` should be called now.

        Takes about a millisecond, and up to ten.
        """
        return not self._closed and bool(self._arrived or self._requests.engine.has_news())

    def poll(self) -> None:
        """Look at what has happened in the scene and in the engine, and go on.

        At most one mask is written: several that have arrived at once wait for the next time, so
        that the window answers in between.
        """
        if self._closed:
            return
        if self._installation.poll() and self._then_start:
            self._requests.engine.start()
        self._look_at_scene()
        self._look_at_markups()
        self._arrived.extend(self._requests.engine.poll())
        if self._arrived:
            self._take_what_arrived()
        else:
            self._update_a_surface()
        self._changed()

    def close(self, *, stop_engine: bool = True) -> None:
        """End everything as the application quits: the process, and the markups of prompts.

        Parameters
        ----------
        stop_engine
            False to leave the engine to someone else, without anything to do.
        """
        if self._closed:
            return
        self._closed = True
        self._results.forget_all()
        self._bench.drop_previews()
        if stop_engine:
            self._requests.engine.stop()
        else:
            self._requests.engine.use_volume(None)
        self._installation.cancel()
        self._display.close()
        self._changed()

    # What is behind it

    def _commit(self, before: Prompts | None, after: Prompts | None, organ: Organ | None) -> str:
        self._watch.needed()
        segment_id = self._bench.set_prompts(after, what_changed(before, after), organ)
        self._display.show()
        self._prompts_changed(segment_id, after)
        return segment_id

    def _ask(self, wanted: Mapping[str, Prompts]) -> None:
        self._requests.ask(wanted, keep_largest=self.options.keep_largest)

    def _prompts_changed(self, segment_id: str, prompts: Prompts | None) -> None:
        self._announcements.complaint = ""
        self._results.forget_names(segment_id)
        if prompts is None:
            self._results.forget(segment_id)
        elif self.options.auto_run:
            self._ask({segment_id: prompts})
        self._changed()

    def _after_step(self, step: Step | None) -> None:
        if step is not None:
            for segment_id in step.segment_ids:
                self._results.forget(segment_id)
            self._display.show()
        self._changed()

    def _say_if_it_does_not_fit(self) -> None:
        if self._watch.volume is None:
            return
        try:
            self._chosen.check_fit()
        except SceneError as error:
            self._announcements.complain(str(error))

    def _use_volume(self) -> None:
        """Let everything work on the volume that is watched."""
        self._chosen.volume_node = self._watch.node
        self._requests.use_volume(self._watch.volume)

    def _look_at_scene(self) -> None:
        """Notice what has become of the volume and of the segments."""
        news = self._watch.look(self._scene)
        if news is VolumeNews.REMOVED:
            self._results.forget_all()
            self._use_volume()
            self._announcements.complain(_("The volume was removed from the scene."))
        elif news is VolumeNews.CHANGED:
            self._announcements.complaint = ""
            self._use_volume()
            self._requests.ask_again()
        current = self._chosen.segment_id
        for segment_id in self._bench.look():
            self._requests.forget(segment_id)
        if current is not None and self._chosen.segment_id is None:
            self._display.show()

    def _look_at_markups(self) -> None:
        """Take over what was placed, moved or removed since the last look."""
        placed = self._display.take_over(self._watch.volume)
        if placed is not None:
            self._prompts_changed(placed.segment_id, placed.prompts)
        self._display.keep_in_front(busy=self.busy)

    def _take_what_arrived(self) -> None:
        """Take updates in their order, up to the first that writes a mask."""
        wrote = False
        while self._arrived and not wrote:
            wrote = self._results.take(self._arrived.popleft(), self.options)

    def _update_a_surface(self) -> None:
        try:
            self._bench.update_a_surface()
        except SceneError as error:
            self._announcements.complain(str(error))

    def _changed(self) -> None:
        """Tell of a new picture, if it is a new one."""
        picture = self._picture()
        if picture != self._state:
            self._state = picture
            self._announcements.tell(StateChanged(picture))

    def _picture(self) -> ControllerState:
        circumstances = Circumstances(
            self._installation.under_way,
            self._closed,
            self._announcements.complaint,
            self._results.names_for(self._chosen.segment_id),
        )
        return picture_of(self._bench, self._requests, self._watch, circumstances)
