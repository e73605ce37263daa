//! The lists of [`Catalog`](crate::service::catalog::Catalog): shifts, cycles, holiday calendars,
//! kinds of leave and payroll layouts. Each has the same four routes.

use std::sync::Arc;

use axum::{extract::State, http::StatusCode};

use crate::{
    domain::{
        ids::{CycleId, HolidayCalendarId, LeaveKindId, PayrollLayoutId, ShiftKindId},
        plans::payroll_layouts::examples,
    },
    http::{
        auth::{Administering, Allowed, Correcting, Reading, Surveying},
        extract::{Json, Path, Query},
        merge_patch::MergePatch,
        page::{List, PageQuery},
        problem::Problem,
        views::{
            Created, created,
            entries::{
                CycleView, EditableCycle, EditableHolidays, EditableLeaveKind, EditableShift,
                HolidayCalendarView, LeaveKindView, ShiftView, page_of,
            },
            payroll::{EditablePayrollLayout, PayrollExampleView, PayrollLayoutView},
            sites::SiteQuery,
        },
    },
    service::catalog::{Cycles, HolidayCalendars, LeaveKinds, PayrollLayouts, Shifts},
};

/// Makes the routes of a list.
macro_rules! routes_of {
    (
        $service:ident at $path:literal and $one_path:literal, $one:literal of $many:literal,
        read by $reader:ident, changed by $writer:ident,
        $id:ident, $view:ident, $editable:ident, $patch:ident,
        $(#[$list_doc:meta])* $list:ident,
        $(#[$create_doc:meta])* $create:ident,
        $(#[$update_doc:meta])* $update:ident($update_conflict:literal),
        $(#[$delete_doc:meta])* $delete:ident($delete_conflict:literal),
    ) => {
        $(#[$list_doc])*
        #[utoipa::path(
            get, path = $path, tag = "plans",
            params(SiteQuery, PageQuery),
            responses((status = 200, description = concat!("A page of ", $many), body = List<$view>)),
        )]
        pub async fn $list(
            allowed: Allowed<$reader>,
            State(catalog): State<Arc<$service>>,
            Query(site): Query<SiteQuery>,
            Query(page): Query<PageQuery>,
        ) -> Result<axum::Json<List<$view>>, Problem> {
            page_of(&catalog, allowed.reach(), site, &page).await
        }

        $(#[$create_doc])*
        #[utoipa::path(
            post, path = $path, tag = "plans",
            request_body = $editable,
            responses(
                (status = 201, description = "Added", body = $view,
                 headers(("Location" = String, description = "The address to change or remove it"))),
                (status = 409, description = "`name_taken`"),
            ),
        )]
        pub async fn $create(
            allowed: Allowed<$writer>,
            State(catalog): State<Arc<$service>>,
            Json(new): Json<$editable>,
        ) -> Result<Created<$view>, Problem> {
            let (reach, actor) = (allowed.reach(), allowed.actor());
            let entry = catalog.add(reach, actor, new.read()?).await?;
            let address = format!("{}/{}", $path, entry.id);
            Ok(created(address, (&entry).into()))
        }

        #[doc = concat!("A change of ", $one, ".")]
        type $patch = MergePatch<$editable>;

        $(#[$update_doc])*
        #[utoipa::path(
            patch, path = $one_path, tag = "plans",
            params(("id" = String, Path, description = $one)),
            request_body = $patch,
            responses(
                (status = 200, description = "Changed", body = $view),
                (status = 409, description = concat!(
                    $update_conflict, "or `conflict` if other requests keep changing it at the same time",
                )),
            ),
        )]
        pub async fn $update(
            allowed: Allowed<$writer>,
            State(catalog): State<Arc<$service>>,
            Path(id): Path<$id>,
            Json(patch): Json<$patch>,
        ) -> Result<axum::Json<$view>, Problem> {
            let (reach, actor) = (allowed.reach(), allowed.actor());
            let changed = catalog.change(reach, actor, id, |old| patch.apply(&old.into())?.read());
            Ok(axum::Json((&changed.await?).into()))
        }

        $(#[$delete_doc])*
        #[utoipa::path(
            delete, path = $one_path, tag = "plans",
            params(("id" = String, Path, description = $one)),
            responses(
                (status = 204, description = "Removed"),
                (status = 409, description = concat!(
                    $delete_conflict, "`conflict` if other requests keep changing it at the same time",
                )),
            ),
        )]
        pub async fn $delete(
            allowed: Allowed<$writer>,
            State(catalog): State<Arc<$service>>,
            Path(id): Path<$id>,
        ) -> Result<StatusCode, Problem> {
            catalog.remove(allowed.reach(), allowed.actor(), id).await?;
            Ok(StatusCode::NO_CONTENT)
        }
    };
}

routes_of! {
    Shifts at "/api/shifts" and "/api/shifts/{id}", "The shift" of "the shifts of sites",
    read by Surveying, changed by Correcting,
    ShiftKindId, ShiftView, EditableShift, ShiftPatch,
    /// Lists the shifts of sites.
    list_shifts,
    /// Adds a shift.
    create_shift,
    /// Changes a shift. Other times count for all days that are not locked, past ones too.
    update_shift("`name_taken`, `shift_in_use` if it would move to another site, "),
    /// Removes a shift that no cycle has. It stays in what is already planned.
    delete_shift("`shift_in_use` if a cycle has it, or "),
}

routes_of! {
    Cycles at "/api/cycles" and "/api/cycles/{id}", "The cycle" of "the cycles of sites",
    read by Surveying, changed by Correcting,
    CycleId, CycleView, EditableCycle, CyclePatch,
    /// Lists the cycles of sites.
    list_cycles,
    /// Adds a cycle of shifts.
    create_cycle,
    /// Changes a cycle. The change counts for all days that are not locked, past ones too.
    update_cycle("`name_taken`, "),
    /// Removes a cycle. It stays in what is already planned.
    delete_cycle(""),
}

routes_of! {
    HolidayCalendars at "/api/holidays" and "/api/holidays/{id}", "The calendar" of "holiday calendars",
    read by Reading, changed by Correcting,
    HolidayCalendarId, HolidayCalendarView, EditableHolidays, HolidaysPatch,
    /// Lists holiday calendars.
    list_holiday_calendars,
    /// Adds a holiday calendar.
    create_holiday_calendar,
    /// Changes a holiday calendar. The change counts for all days that are not locked, past ones too.
    update_holiday_calendar("`name_taken`, "),
    /// Removes a holiday calendar. Its days are no holidays any more, except on locked days.
    delete_holiday_calendar(""),
}

routes_of! {
    LeaveKinds at "/api/leave-kinds" and "/api/leave-kinds/{id}", "The kind of leave" of "kinds of leave",
    read by Reading, changed by Administering,
    LeaveKindId, LeaveKindView, EditableLeaveKind, LeaveKindPatch,
    /// Lists kinds of leave.
    list_leave_kinds,
    /// Adds a kind of leave.
    create_leave_kind,
    /// Changes a kind of leave.
    update_leave_kind("`name_taken`, "),
    /// Removes a kind of leave. Leave of this kind stays.
    delete_leave_kind(""),
}

routes_of! {
    PayrollLayouts at "/api/payroll-layouts" and "/api/payroll-layouts/{id}", "The layout" of "payroll layouts",
    read by Surveying, changed by Administering,
    PayrollLayoutId, PayrollLayoutView, EditablePayrollLayout, PayrollLayoutPatch,
    /// Lists payroll layouts.
    list_payroll_layouts,
    /// Adds a payroll layout.
    create_payroll_layout,
    /// Changes a payroll layout.
    update_payroll_layout("`name_taken`, "),
    /// Removes a payroll layout.
    delete_payroll_layout(""),
}

/// Lists the examples of layouts. They show what payroll programs read; check them with your payroll
/// office, and set your own wage types.
#[utoipa::path(
    get, path = "/api/payroll-layout-examples", tag = "plans",
    responses((status = 200, description = "The examples", body = List<PayrollExampleView>)),
)]
pub async fn list_payroll_examples(_: Allowed<Surveying>) -> axum::Json<List<PayrollExampleView>> {
    let items = examples().iter().map(Into::into).collect();
    axum::Json(List { items, next: None })
}
